"""Who may call: the organisation's Access Key, or a Bearer token got with OAuth client credentials."""

import hashlib
import hmac
from typing import Final

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.tenant import Tenant

BEARER: Final = "bearer "


def require_key(tenant: Tenant, call: Call) -> None:
    """Header `accesskey`, or `Authorization: Bearer` without it. Raises RefusedError."""
    given = call.headers.get("accesskey")
    if given is not None:
        allowed = same(given, tenant.credentials.access_key)
    else:
        allowed = _token_holds(tenant, call.headers.get("authorization", ""))
    if not allowed:
        raise unauthorized(tenant)


def require_access_key(tenant: Tenant, call: Call) -> None:
    """Header `accesskey` only, as on the classic clickstream. Raises RefusedError."""
    if not same(call.headers.get("accesskey", ""), tenant.credentials.access_key):
        raise RefusedError(401, answers.UNAUTHORIZED, "Unauthorized")


def nobody(tenant: Tenant, call: Call) -> None:
    """For endpoints that need no key, or prove the caller in another way."""


def unauthorized(tenant: Tenant) -> RefusedError:
    """Gainsight documents 401 at the gateway, and 400 from the object API."""
    if tenant.switches.auth_fault == "400":
        return RefusedError(400, answers.INVALID_HEADERS, "Invalid authorization headers")
    return RefusedError(401, answers.UNAUTHORIZED, "Unauthorized")


def same(given: str, wanted: str) -> bool:
    """Compare without telling by the time it takes."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def token_digest(token: str) -> str:
    """What is kept of a token: enough to know it again, not enough to use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _token_holds(tenant: Tenant, authorization: str) -> bool:
    if not authorization.lower().startswith(BEARER):
        return False
    token = authorization[len(BEARER) :].strip()
    row = tenant.connection.execute("SELECT expires_ms FROM tokens WHERE token = ?", (token_digest(token),)).fetchone()
    return row is not None and tenant.now_ms < row[0]
