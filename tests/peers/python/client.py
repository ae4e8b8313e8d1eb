"""A client made of Authlib: a Flask site with its login and its callback, as Authlib's manual has it.

Started with its registration as JSON; then reads commands from standard input, one JSON object
a line, and answers each with one line. Ends when standard input does.

    {"begin": {"provider": "oidc"}}    → {"authorize": "https://…"}
    {"finish": "https://…/callback?…"} → {"claims": {…}, "user_info": {…}} or {"error": "access_denied", …}
"""

import json
import sys
from urllib.parse import urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import OAuth
from flask import Flask, request

registration = json.loads(sys.argv[1])

site = Flask(__name__)
site.secret_key = "of-the-site's-own-session-cookie"
broker = OAuth(site).register(
    "broker",
    server_metadata_url=f"{registration['issuer']}/.well-known/openid-configuration",
    client_id=registration["client_id"],
    client_secret=registration.get("client_secret"),
    client_kwargs={
        "scope": registration["scope"],
        "code_challenge_method": "S256",
        "token_endpoint_auth_method": registration["authentication"],
    },
)


@site.get("/login")
def login():
    return broker.authorize_redirect(registration["redirect_uri"], **request.args.to_dict())


@site.get("/callback")
def callback():
    try:
        token = broker.authorize_access_token()
        return {"claims": token["userinfo"], "user_info": broker.userinfo(token=token)}
    except AuthlibBaseError as error:
        return {"error": error.error, "description": error.description}
    except Exception as error:  # an ID token that does not verify: joserfc's own errors
        return {"error": type(error).__name__, "description": str(error)}


person = site.test_client()
for line in sys.stdin:
    command = json.loads(line)
    if "begin" in command:
        answer = {"authorize": person.get("/login", query_string=command["begin"]).location}
    else:
        answer = person.get(f"/callback?{urlsplit(command['finish']).query}").json
    print(json.dumps(answer), flush=True)
