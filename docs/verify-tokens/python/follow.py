"""Follows Countersign's feed of what has ended, beside `verify`, with the standard library alone.

    ended = Ended(ISSUER, "registry-api", secret)
    threading.Thread(target=ended.follow, daemon=True).start()

    claims = verify(bearer(headers.get("Authorization")), ISSUER, AUDIENCE)
    ended.check(claims)  # raises `Refused` where the token, its grant, its session or the
    # connection of an organization that it names was ended

While the feed cannot be heard tokens are good until they expire. A service that must not
have that compares `time.monotonic() - ended.heard_at` with its patience and answers 503.
"""

import base64
import hashlib
import json
import math
import threading
import time
import urllib.parse
import urllib.request

from verify import (
    MAX_METADATA_BYTES,
    TIMEOUT,
    Refused,
    _metadata,
    _NoRedirect,
    _require_safe,
    challenge,
)

# Seconds for which the broker may wait with an answer while it has nothing to tell.
WAIT = 25
# No end is known for longer, in seconds: no token lives for more than an hour.
LONGEST = 2 * 60 * 60
# How many ends are known at most: some 60 MB.
MOST = 200_000


class Ended:
    """What has ended, as far as the feed was heard."""

    def __init__(self, issuer, client_id, client_secret):
        self._issuer = issuer
        self._client = {"client_id": client_id, "client_secret": client_secret}
        # Until when each is to be known, and before when the tokens were issued that it concerns.
        self._known = {}
        self._lock = threading.Lock()
        # Until when it matters that some were left out, since there were too many.
        self._left_out_until = 0
        self.heard_at = time.monotonic()

    def follow(self):
        """Follows the feed for ever. Run it on a thread of its own."""
        cursor, wait, pause = "", 0, 0.25
        while True:
            try:
                page = self._ask(cursor, wait)
                self._note(page)
                cursor, wait, pause = page["cursor"], WAIT, 0.25
                if page["ends"] or not page["complete"]:
                    continue
            except Exception:
                # Whatever it was (an answer that is no HTTP, cut off, or nonsense): a thread that ends
                # hears of nothing any more. The first answer after a failure is to come at once.
                wait, pause = 0, min(pause * 2, 10)
            time.sleep(pause)

    def check(self, claims, now=None):
        """Refuses a verified token that was ended."""
        now = time.time() if now is None else now
        own = claims.get("countersign") or {}
        names = [
            ("token", claims.get("jti")),
            ("session", claims.get("sid")),
            ("grant", own.get("grant")),
        ]
        names += [("organization", name) for name in own.get("organizations", [])]
        with self._lock:
            for kind, name in names:
                if name is None:
                    continue
                until, issued_before = self._known.get((kind, _digest(name)), (0, 0))
                if now < until and claims["iat"] < issued_before:
                    raise Refused(401, challenge(error="invalid_token"), "revoked")

    def _note(self, page, now=None):
        now = time.time() if now is None else now
        with self._lock:
            self._known = {name: known for name, known in self._known.items() if known[0] > now}
            for end in page["ends"]:
                name, until = (end["kind"], end["sha256"]), min(int(end["until"]), now + LONGEST)
                issued_before = end.get("issued_before", math.inf)
                if len(self._known) < MOST or name in self._known:
                    # An end is never taken back.
                    known = self._known.get(name, (0, -math.inf))
                    self._known[name] = (max(known[0], until), max(known[1], issued_before))
                else:
                    self._left_out_until = max(self._left_out_until, until)
            # What was left out is as unheard as if nobody had told it.
            if page["complete"] and now >= self._left_out_until:
                self.heard_at = time.monotonic()

    def _ask(self, cursor, wait):
        url = _metadata(self._issuer)["countersign_revocations_endpoint"]
        _require_safe(url)
        form = {**self._client, "after": cursor, "wait": str(wait)}
        body = urllib.parse.urlencode(form).encode()
        # No redirects: the secret is for the broker alone.
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(url, body, timeout=TIMEOUT + wait) as answer:
            return json.loads(answer.read(MAX_METADATA_BYTES))


def _digest(name):
    digest = hashlib.sha256(name.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
