"""Whether Traefik takes a static configuration and the dynamic one that it names: it has no way to say so but to start."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

program, static, dynamic, scratch = sys.argv[1], *map(Path, sys.argv[2:])
PATIENCE_SECONDS = 30


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % listener.getsockname()[1]


def prepared():
    """The static configuration between addresses of its own, and with an API; it names the dynamic one with a certificate."""
    text = dynamic.read_text()
    for tls in yaml.safe_load(text)["tls"]["certificates"]:
        text = text.replace(tls["certFile"], str(scratch / "certificate.pem"))
        text = text.replace(tls["keyFile"], str(scratch / "key.pem"))
    (scratch / dynamic.name).write_text(text)
    configuration = yaml.safe_load(static.read_text())
    file = configuration["providers"]["file"]
    assert Path(file["filename"]).name == dynamic.name, file
    file["filename"] = str(scratch / dynamic.name)
    for entry_point in configuration["entryPoints"].values():
        entry_point["address"] = free_address()
    api = free_address()
    configuration["entryPoints"]["traefik"] = {"address": api, "http": {"aliasHeadersStrategy": "reject"}}
    configuration["api"] = {"insecure": True}
    (scratch / static.name).write_text(yaml.safe_dump(configuration))
    return api


def parts(api):
    """What it has made of the dynamic configuration; nothing while it has made nothing."""
    try:
        with urllib.request.urlopen(f"http://{api}/api/rawdata") as answer:
            all_of_it = json.load(answer)
    except OSError:
        return {}
    kinds = [all_of_it.get(kind) or {} for kind in ("routers", "services", "middlewares")]
    return {name: part for kind in kinds for name, part in kind.items() if name.endswith("@file")}


def wrong():
    api = prepared()
    log = scratch / "traefik.log"
    with log.open("w") as said:
        process = subprocess.Popen([program, f"--configFile={scratch / static.name}"], stdout=said, stderr=said)
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := parts(api)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    bad = [f"{name}: {part}" for name, part in found.items() if part.get("status", "enabled") != "enabled"]
    complaints = [line for line in log.read_text().splitlines() if any(level in line for level in ("WRN", "ERR", "FTL"))]
    return bad + complaints + ([] if found else [f"{dynamic}: nothing of it is in use\n{log.read_text()}"])


if found := wrong():
    sys.exit("\n".join(found))
