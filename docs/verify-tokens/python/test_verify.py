"""Run with `python -m unittest` in this directory."""

import base64
import hashlib
import hmac
import json
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verify import Refused, bearer, challenge, require_login, require_scope, verify

AUDIENCE = "https://registry.example"
MFA = "urn:countersign:mfa"
KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
# The issuer's too, but not for access tokens.
NOT_FOR_TOKENS = {"ES384": ec.generate_private_key(ec.SECP384R1())}
FOREIGN = ec.generate_private_key(ec.SECP256R1())


class Issuer(BaseHTTPRequestHandler):
    """A broker reduced to its metadata and its keys; counts the fetches of the keys."""

    key_set_hits = 0
    metadata_issuer = None

    def do_GET(self):
        if self.path == "/.well-known/openid-configuration":
            issuer = self.server.url if self.metadata_issuer is None else self.metadata_issuer
            body = {"issuer": issuer, "jwks_uri": self.server.url + "/jwks.json"}
        elif self.path == "/jwks.json":
            type(self).key_set_hits += 1
            keys = {**KEYS, **NOT_FOR_TOKENS}
            body = {"keys": [jwk(alg, key) for alg, key in keys.items()]}
        else:
            return self.send_error(404)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def start_issuer(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def jwk(alg, key):
    to_jwk = jwt.get_algorithm_by_name(alg).to_jwk
    return {**to_jwk(key.public_key(), as_dict=True), "kid": alg, "use": "sig", "alg": alg}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


class VerifyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = start_issuer(Issuer)
        cls.issuer = cls.server.url

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def payload(self, **changes):
        now = int(time.time())
        return {
            "iss": self.issuer, "sub": "acct_01J", "aud": AUDIENCE, "client_id": "gallery",
            "scope": "openid packages:publish", "acr": MFA, "auth_time": now - 100,
            "jti": "t1", "iat": now - 10, "exp": now + 590, **changes,
        }

    def token(self, payload=None, alg="ES256", key=None, **headers):
        headers = {"typ": "at+jwt", "kid": alg, **headers}
        return jwt.encode(payload or self.payload(), key or KEYS[alg], alg, headers)

    def refused(self, token):
        with self.assertRaises(Refused) as caught:
            verify(token, self.issuer, AUDIENCE)
        self.assertEqual(caught.exception.status, 401, str(caught.exception))
        self.assertEqual(caught.exception.challenge, 'Bearer error="invalid_token"')

    def by_hand(self, header, signature):
        """A token as no library would make it; `signature` is a function of the message."""
        parts = [json.dumps(part).encode() for part in (header, self.payload())]
        message = ".".join(base64url(part) for part in parts)
        return f"{message}.{base64url(signature(message.encode()))}"

    def test_a_good_token_of_each_algorithm_is_accepted(self):
        for alg in KEYS:
            with self.subTest(alg):
                claims = verify(self.token(alg=alg), self.issuer, AUDIENCE)
                self.assertEqual(claims["sub"], "acct_01J")
        claims = verify(self.token(typ="application/AT+JWT"), self.issuer, AUDIENCE)
        self.assertEqual(claims["client_id"], "gallery")

    def test_a_claim_that_is_missing_or_wrong_is_refused(self):
        now = int(time.time())
        for name in ["iss", "sub", "aud", "client_id", "jti", "iat", "exp"]:
            with self.subTest(missing=name):
                self.refused(self.token(without(self.payload(), name)))
        for changes in [
            {"iss": self.issuer + "/"}, {"iss": "https://evil.example"}, {"iss": [self.issuer]},
            {"aud": "https://other.example"}, {"aud": [AUDIENCE, "https://other.example"]},
            {"aud": 7}, {"exp": now - 31}, {"exp": str(now + 590)}, {"exp": now + 590.5},
            {"iat": now + 60}, {"iat": str(now)}, {"iat": now - 0.5}, {"nbf": now + 60}, {"sub": 7}, {"sub": ""},
            {"client_id": 7}, {"jti": 7}, {"scope": ["packages:publish"]}, {"cnf": {"jkt": "x"}},
        ]:
            with self.subTest(**changes):
                # Encoded by hand: PyJWT refuses to write some of these.
                payload = json.dumps(self.payload(**changes)).encode()
                headers = {"typ": "at+jwt", "kid": "ES256"}
                self.refused(jwt.api_jws.encode(payload, KEYS["ES256"], "ES256", headers))

    def test_what_is_no_access_token_is_refused(self):
        for typ in ["JWT", "logout+jwt", "dpop+jwt", None, 7]:
            with self.subTest(typ=typ):
                header = {"typ": typ, "alg": "ES256", "kid": "ES256"}
                sign = jwt.get_algorithm_by_name("ES256").sign
                self.refused(self.by_hand(header, lambda m: sign(m, KEYS["ES256"])))
        for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", self.token() + ".x"]:
            with self.subTest(text=text[:8]):
                self.refused(text)
        self.refused(self.token(self.payload(padding="x" * 8192)))

    def test_the_key_and_the_algorithm_are_the_issuer_s(self):
        self.refused(self.token(key=FOREIGN))
        self.refused(self.token(kid="RS256"))
        self.refused(self.token(kid="unknown"))
        self.refused(self.token(alg="ES384", key=NOT_FOR_TOKENS["ES384"]))
        self.refused(self.token(jku="https://evil.example/jwks.json"))
        self.refused(self.token(crit=["x"], x=1))
        none = {"typ": "at+jwt", "alg": "none", "kid": "ES256"}
        self.refused(self.by_hand(none, lambda _: b""))
        pem = KEYS["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        hs256 = {"typ": "at+jwt", "alg": "HS256", "kid": "RS256"}
        self.refused(self.by_hand(hs256, lambda m: hmac.digest(pem, m, hashlib.sha256)))

    def test_a_flood_of_unknown_keys_is_no_flood_at_the_issuer(self):
        verify(self.token(), self.issuer, AUDIENCE)
        before = Issuer.key_set_hits
        for number in range(20):
            self.refused(self.token(kid=f"made-up-{number}"))
        self.assertEqual(Issuer.key_set_hits, before)

    def test_keys_that_cannot_be_had_are_not_the_caller_s_fault(self):
        class Stranger(Issuer):
            metadata_issuer = "https://evil.example"

        stranger = start_issuer(Stranger)
        self.addCleanup(stranger.server_close)
        self.addCleanup(stranger.shutdown)
        for issuer, words in [
            (stranger.url, "of another issuer"), ("http://127.0.0.1:1", "cannot be had"),
            ("http://login.example", "not an https URL"), ("ftp://127.0.0.1", "not an https URL"),
        ]:
            with self.subTest(issuer), self.assertRaisesRegex(Refused, words) as caught:
                verify(self.token(), issuer, AUDIENCE)
            self.assertEqual((caught.exception.status, caught.exception.challenge), (503, None))


class ChallengeTest(unittest.TestCase):
    def refused(self, status, challenge, check, *arguments, **options):
        with self.assertRaises(Refused) as caught:
            check(*arguments, **options)
        self.assertEqual((caught.exception.status, caught.exception.challenge), (status, challenge))

    def test_a_token_is_taken_from_the_header_alone(self):
        self.assertEqual(bearer("bearer  a.b.c"), "a.b.c")
        for header in [None, "", "Basic dTpw", "Bearerx a.b.c"]:
            self.refused(401, 'Bearer realm="registry"', bearer, header)
        for header in ["Bearer", "Bearer a b", "Bearer a\tb"]:
            self.refused(400, 'Bearer error="invalid_request"', bearer, header)

    def test_a_missing_scope_is_named_with_403(self):
        claims = {"scope": "openid packages:publish"}
        require_scope(claims, "packages:publish")
        header = 'Bearer error="insufficient_scope", scope="packages:administer"'
        self.refused(403, header, require_scope, claims, "packages:administer")
        self.refused(403, 'Bearer error="insufficient_scope", scope="a"', require_scope, {}, "a")

    def test_a_weak_or_old_login_is_told_what_would_do(self):
        now = int(time.time())
        claims = {"acr": MFA, "auth_time": now - 100}
        require_login(claims, acr_values=["phr", MFA], max_age=300)
        header = 'Bearer error="insufficient_user_authentication", acr_values="phr phrh"'
        self.refused(401, header, require_login, claims, acr_values=["phr", "phrh"])
        self.refused(401, header, require_login, {}, acr_values=["phr", "phrh"])
        header = 'Bearer error="insufficient_user_authentication", max_age="60"'
        for old in [claims, {}, {"auth_time": str(now)}, {"auth_time": now + 3600}]:
            self.refused(401, header, require_login, old, max_age=60)
        header = 'Bearer error="insufficient_user_authentication"'
        self.refused(401, header, require_login, claims, acr_values=[])

    def test_no_value_can_end_its_quotes_or_the_header(self):
        self.assertEqual(challenge(scope='a"b\\c\r\nd\u00e9'), 'Bearer scope="abcd"')


if __name__ == "__main__":
    unittest.main()
