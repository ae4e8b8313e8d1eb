"""Run with `python -m unittest` in this directory."""

import json
import threading
import time
import unittest
import unittest.mock
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from follow import Ended, _digest
from verify import Refused

NOW = int(time.time())
LATER = NOW + 3900
CLAIMS = {"iat": NOW, "jti": "jti_1", "sid": "sess_1", "countersign": {"grant": "grant_1"}}


class Broker(BaseHTTPRequestHandler):
    """Its metadata and its feed: each answer is the next of `answers`, then nothing."""

    answers = []
    asked = []

    def do_GET(self):
        url = self.server.url
        self._answer({"issuer": url, "jwks_uri": url, "countersign_revocations_endpoint": url})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.asked.append(dict(urllib.parse.parse_qsl(body)))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, bytes):
                self.close_connection = True
                return self.wfile.write(answer)
            return self.send_error(answer) if isinstance(answer, int) else self._answer(answer)
        time.sleep(0.05)
        self._answer({"ends": [], "cursor": "last", "complete": True})

    def _answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def page(kind, name, cursor="1", until=LATER, complete=True, **more):
    end = {"kind": kind, "sha256": _digest(name), "until": until, **more}
    return {"ends": [end], "cursor": cursor, "complete": complete}


class Following(unittest.TestCase):
    def test_a_token_ends_with_its_session_its_grant_or_itself(self):
        for kind, name in [("session", "sess_1"), ("grant", "grant_1"), ("token", "jti_1")]:
            ended = Ended("https://login.example", "api", "secret")
            ended.check(CLAIMS)
            ended._note(page(kind, name))
            with self.assertRaises(Refused) as refused:
                ended.check(CLAIMS)
            self.assertEqual(refused.exception.status, 401)

    def test_nothing_else_ends_it(self):
        ended = Ended("https://login.example", "api", "secret")
        for kind, name in [("session", "jti_1"), ("token", "sess_1"), ("planet", "sess_1")]:
            ended._note(page(kind, name))
        ended._note(page("token", "jti_1", until=int(time.time()) - 1))
        ended.check(CLAIMS)
        ended.check({"iat": NOW, "jti": "other"})

    def test_a_token_ends_with_a_connection_if_it_was_issued_before(self):
        def of(organizations, iat):
            return {"iat": iat, "jti": "jti_1", "countersign": {"organizations": organizations}}

        ended = Ended("https://login.example", "api", "secret")
        # One that is told late takes nothing back.
        for issued_before in [NOW - 5, NOW, NOW - 9]:
            ended._note(page("organization", "contoso", issued_before=issued_before))
        for iat in [NOW - 600, NOW - 1]:
            with self.assertRaises(Refused):
                ended.check(of(["acme", "contoso"], iat))
            ended.check(of(["acme"], iat))
            ended.check(of([], iat))
        ended.check(of(["contoso"], NOW))

    def test_a_kind_of_a_newer_broker_takes_nothing_from_the_others(self):
        ended = Ended("https://login.example", "api", "secret")
        both = page("planet", "sess_1", mass={"kg": 1})
        both["ends"] += page("token", "jti_1")["ends"]
        ended.heard_at = 0
        ended._note(both)
        self.assertGreater(ended.heard_at, 0)
        with self.assertRaises(Refused):
            ended.check(CLAIMS)

    def test_it_goes_on_from_its_place_and_after_failures(self):
        Broker.answers = [
            page("token", "a", cursor="one", complete=False),
            page("token", "jti_1", cursor="two"),
            503,
            {"ends": "nonsense"},
            b"this is no HTTP\r\n\r\n",
            page("token", "b", cursor="three"),
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
            b'HTTP/1.1 200 OK\r\n\r\n{"ends": [{"kind": "token", "sha256": "a", "until": Infinity}]}',
        ]
        server = ThreadingHTTPServer(("127.0.0.1", 0), Broker)
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = Ended(server.url, "api", "secret")
        threading.Thread(target=ended.follow, daemon=True).start()
        patience = time.monotonic() + 30
        while len(Broker.asked) < 10 and time.monotonic() < patience:
            time.sleep(0.01)
        places = [asked.get("after", "") for asked in Broker.asked[:10]]
        self.assertEqual(places, ["", "one"] + ["two"] * 4 + ["three"] * 3 + ["last"])
        self.assertEqual(Broker.asked[0]["client_secret"], "secret")
        waits = [asked["wait"] for asked in Broker.asked[:10]]
        self.assertEqual(waits, ["0", "25", "25", "0", "0", "0", "25", "0", "0", "25"])
        with self.assertRaises(Refused):
            ended.check(CLAIMS)

    def test_no_more_is_known_than_fits_and_what_does_not_is_as_unheard(self):
        ended = Ended("https://login.example", "api", "secret")
        now = time.time()
        with unittest.mock.patch("follow.MOST", 2):
            for name in ["a", "b", "jti_1", "a"]:
                ended.heard_at = 0
                ended._note(page("token", name, until=now + 60), now)
            self.assertEqual(len(ended._known), 2)
            self.assertEqual(ended.heard_at, 0)
            ended._note(page("token", "jti_1", until=now + 120), now + 60)
            self.assertGreater(ended.heard_at, 0)
            with self.assertRaises(Refused):
                ended.check(CLAIMS, now + 60)

    def test_the_secret_goes_to_nobody_in_the_clear(self):
        ended = Ended("http://login.example", "api", "secret")
        with self.assertRaises(Refused):
            ended._ask("", 0)


if __name__ == "__main__":
    unittest.main()
