"""The classic clickstream: `POST /clickstream/segmentio/event` takes a whole Segment message and remembers its account.

Segment's own integration sent one message per request with the header accessKey and looked at the status alone.
"""

from typing import Any

import msgspec

from gainsight_destination.sandbox.answers import Reply
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.tenant import Tenant


def receive(tenant: Tenant, call: Call) -> Reply:
    """Store the message as it came; learn the user's account from identify and group."""
    message = call.json_object()
    tenant.connection.execute(
        "INSERT INTO messages (at_ms, message) VALUES (?, ?)", (tenant.now_ms, call.body.decode("utf-8"))
    )
    user, account = message.get("userId"), _account(message)
    if isinstance(user, str | int) and isinstance(account, str | int):
        tenant.connection.execute(
            "INSERT INTO message_accounts VALUES (?, ?)"
            " ON CONFLICT (user_id) DO UPDATE SET account_id = excluded.account_id",
            (str(user), str(account)),
        )
    return Reply(body={"result": True})


def received(tenant: Tenant) -> list[Any]:
    """The messages, in the order of their arrival."""
    return [
        msgspec.json.decode(text) for (text,) in tenant.connection.execute("SELECT message FROM messages ORDER BY id")
    ]


def accounts(tenant: Tenant) -> dict[str, str]:
    """The account of each user, as last said."""
    return dict(
        tenant.connection.execute("SELECT user_id, account_id FROM message_accounts ORDER BY user_id").fetchall()
    )


def _account(message: dict[str, Any]) -> Any:
    if message.get("type") == "group":
        return message.get("groupId")
    traits = message.get("traits")
    return traits.get("accountId") if message.get("type") == "identify" and isinstance(traits, dict) else None
