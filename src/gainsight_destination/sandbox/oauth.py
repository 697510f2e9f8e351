"""Machine-to-machine OAuth: `POST /v1/users/m2m/oauth/token` gives a Bearer token that holds for a day."""

import base64
import binascii
from urllib.parse import parse_qs

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid
from gainsight_destination.sandbox.auth import same, token_digest
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.identifiers import new_uuid
from gainsight_destination.sandbox.tenant import Tenant


def token(tenant: Tenant, call: Call) -> Reply:
    """HTTP Basic with key and secret, form body `grant_type=client_credentials`."""
    if not _known_client(tenant, call.headers.get("authorization", "")):
        raise RefusedError(401, answers.UNAUTHORIZED, "Unauthorized")
    form = parse_qs(call.body.decode("utf-8", "replace"))
    if form.get("grant_type") != ["client_credentials"]:
        raise invalid("grant_type must be client_credentials")
    access_token, seconds = new_uuid(tenant.connection), tenant.switches.token_seconds
    tenant.connection.execute(
        "INSERT INTO tokens VALUES (?, ?)", (token_digest(access_token), tenant.now_ms + seconds * 1_000)
    )
    return Reply(body={"access_token": access_token, "token_type": "Bearer", "expires_in": seconds})


def revoke_tokens(tenant: Tenant) -> int:
    """Make every token useless before its time; how many there were."""
    return tenant.connection.execute("DELETE FROM tokens").rowcount


def _known_client(tenant: Tenant, authorization: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    wanted = f"{tenant.credentials.oauth_key}:{tenant.credentials.oauth_secret}"
    return scheme.lower() == "basic" and same(given, wanted)
