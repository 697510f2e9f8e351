"""Realistic calls of the Segment Spec, about 545 bytes each as compact JSON, as SDKs send them.

Every tenth is an identify, the others are track calls over 30 names, of users who belong to 200 accounts.
"""

import random
from typing import Any

from gainsight_destination.events.timestamps import iso_utc

ACCOUNTS, NAMES = 200, 30
BATCH = 100


def message(chance: random.Random, number: int, users: int, at_ms: int, first8: str | None = None) -> dict[str, Any]:
    """Message `number` of a stream, by a user that chance chooses; its id begins with the number, or as given."""
    user = chance.randrange(users)
    common: dict[str, Any] = {
        "messageId": f"{first8 or f'{number:08x}'}-{number % 10_000:04d}-4f55-9f1c-0123456789ab",
        "timestamp": iso_utc(at_ms),
        "userId": f"user-{user}",
        "anonymousId": f"5f0c3f4e-{user:08d}",
        "context": {
            "library": {"name": "analytics-python", "version": "2.4.0"},
            "page": {
                "url": "https://app.example.com/reports/quarterly",
                "path": "/reports/quarterly",
                "title": "Reports",
            },
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
        },
        "integrations": {},
    }
    account = account_of(user)
    if number % 10 == 0:
        return common | {"type": "identify", "traits": {"accountId": account, "email": f"user{user}@example.com"}}
    properties = {"accountId": account, "rows": number, "plan": "gold"}
    return common | {"type": "track", "event": f"Event {chance.randrange(NAMES)}", "properties": properties}


def account_of(user: int) -> str:
    """The account that a user belongs to."""
    return f"001A0000006{user % ACCOUNTS:04d}"
