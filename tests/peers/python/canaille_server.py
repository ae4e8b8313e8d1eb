"""Canaille, an identity server, with the people and the factors that a test asks for.

Started with {"host", "factors": ["password", "otp", …], "client": {…}, "people": [{…}]};
says {"issuer": "http://…"} when it listens. Ends when its standard input does.

Everything is kept in memory: its databases refuse a second access token of one person in one
second, because the two are equal.
"""

import datetime
import json
import os
import socket
import sys
import threading

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey
from werkzeug.serving import WSGIRequestHandler, make_server

settings = json.loads(sys.argv[1])

listener = socket.create_server((settings["host"], 0))
address = f"{settings['host']}:{listener.getsockname()[1]}"

site = create_app(
    {
        "SECRET_KEY": os.urandom(32).hex(),
        "SERVER_NAME": address,
        "PREFERRED_URL_SCHEME": "http",
        # Whole pages: those that HTMX swaps in can show a passkey challenge that is not the session's.
        "CANAILLE": {"DATABASE": "memory", "HTMX": False, "AUTHENTICATION_FACTORS": settings["factors"]},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)]},
    }
)

with site.app_context(), Backend.instance.session():
    for person in settings["people"]:
        # Canaille takes a person without an earlier code for one who has no app yet.
        if "secret_token" in person:
            person["last_otp_login"] = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        Backend.instance.save(models.User(**person))
    client = models.Client(
        grant_types=["authorization_code"],
        response_types=["code"],
        token_endpoint_auth_method="client_secret_basic",
        id_token_signed_response_alg="RS256",  # left alone it takes RS512
        scope=["openid", "profile", "email"],
        **settings["client"],
    )
    Backend.instance.save(client)
    client.audience = [client]  # the `aud` of its ID tokens, as Canaille's own registration sets it
    Backend.instance.save(client)


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


server = make_server(settings["host"], 0, site, threaded=True, request_handler=Quiet, fd=listener.fileno())
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"issuer": f"http://{address}"}), flush=True)
sys.stdin.read()
