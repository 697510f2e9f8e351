"""Sign-ins that failed: after some, none is looked at for a while.

What is counted outlives a restart. Accounts that do not exist are counted too, so that nothing tells them apart.
"""

import hashlib
import sqlite3
from typing import Final

FREE: Final = {"pair": 5, "account": 50, "address": 50}
"""Failures before the first wait: of an account from one address, of an account, and from an address. Who fails on
purpose holds back themselves first; many people can share an address."""
FIRST_WAIT_MS: Final = 30_000
LONGEST_WAIT_MS: Final = 15 * 60_000
FORGOTTEN_MS: Final = 24 * 3_600_000


def held_back_ms(connection: sqlite3.Connection, *, account: str, address: str, now_ms: int) -> int:
    """How long no attempt is looked at; 0: this one is."""
    waits = [0]
    for kind, digest in _digests(account, address):
        row = connection.execute("SELECT failures, last_at_ms FROM attempts WHERE digest = ?", (digest,)).fetchone()
        if row and row[0] >= FREE[kind]:
            doublings = min(row[0] - FREE[kind], 10)
            waits.append(row[1] + min(FIRST_WAIT_MS << doublings, LONGEST_WAIT_MS) - now_ms)
    return max(waits)


def enter(connection: sqlite3.Connection, *, account: str, address: str, now_ms: int) -> None:
    """Count an attempt as failed, until it is forgiven."""
    connection.execute("DELETE FROM attempts WHERE last_at_ms < ?", (now_ms - FORGOTTEN_MS,))
    connection.executemany(
        "INSERT INTO attempts VALUES (?, 1, ?)"
        " ON CONFLICT DO UPDATE SET failures = failures + 1, last_at_ms = excluded.last_at_ms",
        [(digest, now_ms) for _, digest in _digests(account, address)],
    )


def forgive(connection: sqlite3.Connection, *, account: str, address: str) -> None:
    """Somebody knew the password: the account starts anew from there, and everything else has failed once less."""
    (_, pair), *others = _digests(account, address)
    connection.execute("DELETE FROM attempts WHERE digest = ?", (pair,))
    connection.executemany(
        "UPDATE attempts SET failures = failures - 1 WHERE digest = ? AND failures > 0", [(d,) for _, d in others]
    )


def _digests(account: str, address: str) -> list[tuple[str, bytes]]:
    names = {"pair": f"{account}\0{address}", "account": account, "address": address}
    return [
        (kind, hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "surrogatepass")).digest())
        for kind, name in names.items()
    ]
