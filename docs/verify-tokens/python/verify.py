"""Verifies Countersign's access tokens in a registry service, with PyJWT.

    claims = verify(bearer(headers.get("Authorization")), ISSUER, AUDIENCE)
    require_scope(claims, "packages:publish")

Each of these raises `Refused`, which holds the HTTP status and the value of
`WWW-Authenticate` to answer with. Never answer a refusal with anything else, and never
read a claim of a token that `verify` has not returned.
"""

import ipaddress
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import lru_cache

import jwt

# What the broker may sign access tokens with. HS256 and `none` are not on the list.
ALGORITHMS = {"ES256", "RS256", "EdDSA"}
# RFC 9068, section 4. An ID token has `typ: JWT` and is refused here.
ACCESS_TOKEN_TYPES = {"at+jwt", "application/at+jwt"}
# A token that brings its own key, or rules we do not know.
FORBIDDEN_HEADERS = {"crit", "jwk", "jku", "x5u", "x5c"}
# Seconds by which the broker's clock and ours may differ.
LEEWAY = 30
MAX_TOKEN_BYTES = 8 * 1024
MAX_METADATA_BYTES = 256 * 1024
TIMEOUT = 5


class Refused(Exception):
    """Why a request is refused: `status`, and `challenge` for `WWW-Authenticate` (or None)."""

    def __init__(self, status, challenge, reason):
        super().__init__(reason)
        self.status = status
        self.challenge = challenge


def bearer(authorization):
    """The token in an `Authorization` header, which may be None."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        # RFC 6750, section 3.1: no credentials, no error code.
        raise Refused(401, challenge(realm="registry"), "the request has no bearer token")
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token.strip(" ")):
        raise Refused(400, challenge(error="invalid_request"), "not one bearer token")
    return token.strip(" ")


def verify(token, issuer, audience):
    """The claims of an access token of `issuer` for `audience`. Raises `Refused`."""
    try:
        key = _key_of(token, issuer)
        claims = jwt.decode(
            token,
            key,
            # The key says the algorithm; the token's word must agree.
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY,
            options={
                "require": ["iss", "sub", "aud", "client_id", "jti", "iat", "exp"],
                # One audience, ours: see the README for why a second one is refused.
                "strict_aud": True,
            },
        )
    except jwt.InvalidTokenError as error:
        raise _invalid(type(error).__name__) from None
    _check_types(claims)
    return claims


def require_scope(claims, scope):
    """Requires a scope. Every service does this; the broker's policy decided who has it."""
    if scope not in claims.get("scope", "").split(" "):
        error = challenge(error="insufficient_scope", scope=scope)
        raise Refused(403, error, f"the token lacks the scope `{scope}`")


def require_login(claims, acr_values=None, max_age=None):
    """Requires one of `acr_values`, and a login at most `max_age` seconds ago.

    Only for a service that is stricter than the broker's policy. The values are names,
    not a ladder: list every one that will do.
    """
    acr_ok = acr_values is None or claims.get("acr") in acr_values
    if acr_ok and (max_age is None or _is_recent(claims.get("auth_time"), max_age)):
        return
    parameters = {"error": "insufficient_user_authentication"}
    if acr_values:
        parameters["acr_values"] = " ".join(acr_values)
    if max_age is not None:
        parameters["max_age"] = str(max_age)
    raise Refused(401, challenge(**parameters), "the login is too weak or too long ago")


def challenge(**parameters):
    """The value of `WWW-Authenticate` (RFC 6750, section 3; RFC 9470, section 3)."""

    def quotable(value):
        # No quote, backslash or control character: none can end the quotes or the header.
        return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "", value)

    return "Bearer " + ", ".join(f'{k}="{quotable(v)}"' for k, v in parameters.items())


def _key_of(token, issuer):
    if len(token) > MAX_TOKEN_BYTES:
        raise _invalid("too long")
    header = jwt.get_unverified_header(token)
    if str(header.get("typ")).lower() not in ACCESS_TOKEN_TYPES:
        raise _invalid("not an access token")
    if FORBIDDEN_HEADERS & header.keys():
        raise _invalid("header")
    if not isinstance(header.get("kid"), str):
        raise _invalid("kid")
    try:
        key = _keys(issuer).get_signing_key(header["kid"])
    except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError) as error:
        raise _unavailable("the key set cannot be had") from error
    except jwt.PyJWKClientError:
        raise _invalid("unknown key") from None
    if key.algorithm_name not in ALGORITHMS:
        raise _invalid("algorithm")
    return key


@lru_cache(maxsize=4)
def _keys(issuer):
    """The issuer's keys, kept for the life of the process; PyJWKClient fetches and caches.

    It fetches at the first token, every ten minutes, and for an unknown `kid` once a minute.
    """
    uri = _metadata(issuer)["jwks_uri"]
    _require_safe(uri)
    return jwt.PyJWKClient(uri, lifespan=600, cooldown_duration=60, timeout=TIMEOUT)


def _metadata(issuer):
    _require_safe(issuer)
    url = issuer.removesuffix("/") + "/.well-known/openid-configuration"
    try:
        with urllib.request.build_opener(_NoRedirect).open(url, timeout=TIMEOUT) as response:
            metadata = json.loads(response.read(MAX_METADATA_BYTES))
    except (OSError, ValueError) as error:
        raise _unavailable("the issuer's metadata cannot be had") from error
    # RFC 8414, section 3.3: identical, or it is not our issuer's.
    if not isinstance(metadata, dict) or metadata.get("issuer") != issuer:
        raise _unavailable("the metadata is of another issuer")
    if not isinstance(metadata.get("jwks_uri"), str):
        raise _unavailable("the metadata names no key set")
    return metadata


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def _require_safe(url):
    """https, or http to this very machine (development)."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return
    raise _unavailable("not an https URL")


def _is_loopback(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_types(claims):
    """PyJWT takes a number in quotes for a time; the broker never writes one."""
    strings = ["client_id", "sub", "jti", "iss"]
    if not all(isinstance(claims[name], str) and claims[name] for name in strings):
        raise _invalid("a name is not a string")
    if not all(type(claims[name]) is int for name in ["iat", "exp"]):
        raise _invalid("a time is not a whole number")
    if not isinstance(claims.get("scope", ""), str):
        raise _invalid("scope is not a string")
    # Bound to a key (RFC 9449): not to be accepted as a mere bearer token.
    if "cnf" in claims:
        raise _invalid("bound to a key")


def _is_recent(auth_time, max_age):
    return type(auth_time) is int and -LEEWAY <= time.time() - auth_time <= max_age


def _invalid(reason):
    return Refused(401, challenge(error="invalid_token"), f"the token is refused: {reason}")


def _unavailable(reason):
    return Refused(503, None, reason)
