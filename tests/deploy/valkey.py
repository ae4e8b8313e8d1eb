"""Whether the Valkey of a Kubernetes manifest, with its Sentinels, comes up and keeps what it has, whoever dies.

    python valkey.py MANIFEST PROGRAM

The scripts and the environment are the manifest's. What runs is Debian's Redis, on loopback addresses in a network of its own, with
the names of the pods in a hosts file of its own. What Kubernetes would do is not tried.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

PASSWORDS = {"countersign": "a" * 32, "replication": "b" * 32, "sentinel": "c" * 32}
ADDRESSES = {
    "valkey-0": "127.88.0.1",
    "valkey-1": "127.88.0.2",
    "sentinel-0": "127.88.1.1",
    "sentinel-1": "127.88.1.2",
    "sentinel-2": "127.88.1.3",
}
DOMAIN = "countersign.svc.cluster.local"
# What the image has under these names.
SHIMS = {
    "hostname": "echo $POD",
    "valkey-cli": 'exec redis-cli "$@"',
    "valkey-server": 'exec redis-server "$1" --bind $ADDRESS --bind-source-addr $ADDRESS',
    "valkey-sentinel": 'exec redis-server "$1" --sentinel --bind $ADDRESS',
}
SECONDS = 40


class Pods:
    """The pods, each a process with a directory of its own."""

    def __init__(self, manifest, directory):
        self.directory = directory
        documents = list(yaml.safe_load_all(manifest.read_text()))
        for one in documents:
            if one["kind"] == "ConfigMap":
                for name, text in one["data"].items():
                    (directory / name).write_text(text)
        self.containers = {
            one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]
            for one in documents
            if one["kind"] == "StatefulSet"
        }
        for name, text in SHIMS.items():
            shim = directory / name
            shim.write_text(f"#!/bin/sh\n{text}\n")
            shim.chmod(0o755)
        self.running = {}

    def start(self, *pods):
        for pod in pods:
            container = self.containers[pod.split("-")[0]]
            environment = {
                one["name"]: one["value"] if "value" in one else PASSWORDS[one["valueFrom"]["secretKeyRef"]["key"]]
                for one in container["env"]
            }
            data = self.directory / pod
            data.mkdir(exist_ok=True)
            script = Path(container["command"][1]).name
            path = f"{self.directory}:{os.environ['PATH']}"
            self.running[pod] = subprocess.Popen(
                ["sh", str(self.directory / script)],
                env=environment | {"DATA": str(data), "POD": pod, "ADDRESS": ADDRESSES[pod], "PATH": path},
                stdout=(self.directory / f"{pod}.log").open("a"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, *pods):
        for pod in pods:
            one = self.running.pop(pod)
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()

    def logs(self):
        return "\n".join(f"== {one.name}\n{one.read_text()[-2000:]}" for one in self.directory.glob("*.log"))


class Countersign:
    """The program with a configuration whose store is those pods."""

    def __init__(self, program, directory):
        self.program = program
        self.configuration = directory / "countersign.toml"
        sentinels = ", ".join(f'"sentinel-{n}.sentinel.{DOMAIN}:26379"' for n in range(3))
        self.configuration.write_text(f"""
version = 1
[server]
issuer = "http://127.0.0.1:8080"
listen = "127.0.0.1:8080"
data_dir = "data"
policy = "{Path("compose/policy.toml").resolve()}"
[store.redis]
sentinels = [{sentinels}]
primary = "accounts"
user = "countersign"
password = {{ env = "PASSWORD" }}
sentinel_user = "countersign"
sentinel_password = {{ env = "PASSWORD" }}
[client.gallery]
name = "Example Gallery"
redirect_uris = ["https://registry.example/callback"]
secret = {{ env = "PASSWORD" }}
resource = "https://registry.example"
[provider.entra.entra]
tenant = "organizations"
client_id = "entra"
client_secret = {{ env = "PASSWORD" }}
""")

    def run(self, command, limit):
        arguments = ["timeout", str(limit), self.program, *command, "--config", str(self.configuration)]
        environment = os.environ | {"PASSWORD": PASSWORDS["countersign"]}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def until_well(self, primary):
        """Waits until this pod is the primary, with a replica, and we may do all there."""
        text = ""
        for _ in range(SECONDS):
            text = self.run(["doctor"], 30)
            if "can be used by `countersign`" in text and f"ok    redis {primary}.valkey.{DOMAIN}:6379: version" in text:
                return
            time.sleep(1)
        sys.exit(f"{primary} is not a primary with a replica: {text}")

    def keys(self):
        return self.run(["keys", "list"], 30)


def inside(manifest, program):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        names = [f"{address} {pod}.{pod.split('-')[0]}.{DOMAIN}\n" for pod, address in ADDRESSES.items()]
        hosts = directory / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(names))
        subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
        pods = Pods(manifest, directory)
        try:
            try_all(pods, Countersign(program, directory))
        except SystemExit:
            print(pods.logs(), file=sys.stderr)
            raise
        finally:
            pods.kill(*list(pods.running))


def try_all(pods, countersign):
    pods.start(*ADDRESSES)
    countersign.until_well("valkey-0")
    said = countersign.run(["serve"], 10)
    made = countersign.keys()
    if "sign-es256" not in made:
        sys.exit(f"no keys were made: {said}{made}")

    pods.kill("valkey-0")
    # Once it is followed by none, the other leads; then the first comes back behind it.
    time.sleep(8)
    pods.start("valkey-0")
    countersign.until_well("valkey-1")

    pods.kill(*ADDRESSES)
    # The one that led no more is there first, and must not take the lead, nor throw away what it has.
    pods.start("valkey-0", "valkey-1")
    time.sleep(3)
    pods.start("sentinel-0", "sentinel-1", "sentinel-2")
    countersign.until_well("valkey-1")
    if countersign.keys() != made:
        sys.exit(f"the keys are not what they were: {made}\n{countersign.keys()}")


if __name__ == "__main__":
    manifest, program = (str(Path(one).resolve()) for one in sys.argv[1:3])
    if sys.argv[3:] == ["inside"]:
        inside(Path(manifest), program)
    else:
        again = [sys.executable, __file__, manifest, program, "inside"]
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        sys.exit(subprocess.run(["unshare", "--mount", "--net", *as_root, *again], check=False).returncode)
