"""Drops messages that were seen before, by message id, across the whole workspace and across restarts.

The first acknowledged wins. The memory is the `seen` table, so it is exactly as durable as what came of a message. It
is keyed by 63 bits of a digest. Two ids with the same bits are once-in-ages, and told apart all the same: whoever finds
an id taken looks into the log whether it is the same id.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from gainsight_destination.events.message import Message

_INSERT: Final = "INSERT OR IGNORE INTO seen (digest, offset, received_at_ms, route) VALUES (?,?,?,?)"
SWEEPS: Final = 64
"""Parts of the memory, looked through one at a time."""

SALTS: Final = 64

Row = tuple[int, int, int, int]


class Originals(Protocol):
    """Reads messages again from the log."""

    def fetch(self, offsets: Iterable[int]) -> None:
        """Read many at once, which is cheaper than one by one."""
        ...

    def __call__(self, offset: int) -> Message | None:
        """The message at an offset; None when the log no longer holds it."""
        ...


class Earlier(NamedTuple):
    """A duplicate, and the message it repeats, unless the log no longer holds that."""

    message: Message
    original: Message | None


def drop_duplicates(
    connection: sqlite3.Connection,
    messages: Sequence[Message],
    routes: Sequence[int],
    window_ms: int,
    originals: Originals,
) -> tuple[list[Message], list[Earlier]]:
    """Remember messages (in log order, with their routes); return the fresh ones and the duplicates."""
    rows = [
        (digest_of(m.message_id), m.offset, m.received_at_ms, route) for m, route in zip(messages, routes, strict=True)
    ]
    if len({row[0] for row in rows}) == len(rows):
        before = connection.total_changes
        connection.executemany(_INSERT, sorted(rows))
        if connection.total_changes - before == len(rows):
            return list(messages), []
    else:
        connection.executemany(_INSERT, rows)  # in log order: the first of a batch wins too
    found = _stored(connection, (row[0] for row in rows))
    originals.fetch(found[row[0]] for row in rows if found[row[0]] != row[1])
    fresh: list[Message] = []
    duplicates: list[Earlier] = []
    for message, row in zip(messages, rows, strict=True):
        if found[row[0]] == message.offset:
            fresh.append(message)
        else:
            earlier = _earlier(connection, message, row, window_ms, originals)
            if earlier is None:
                fresh.append(message)
            else:
                duplicates.append(earlier)
    return fresh, duplicates


def find(connection: sqlite3.Connection, message_id: str, message_at: Callable[[int], Message | None]) -> Row | None:
    """(digest, offset, received_at_ms, route) of a message by its id, while it is remembered."""
    for salt in range(SALTS):
        row = _row(connection, digest_of(message_id, salt))
        if row is None:
            return None
        message = message_at(row[1])
        if message is None or message.message_id == message_id:
            return row
    return None


def count_remembered(connection: sqlite3.Connection, message_ids: Iterable[str], since_ms: int) -> int:
    """How many of these messages came before, by their ids, and are remembered since then."""
    digests = [digest_of(message_id) for message_id in message_ids]
    listed = f"[{','.join(map(str, digests))}]"
    rows = connection.execute(
        "SELECT digest FROM seen WHERE digest IN (SELECT value FROM json_each(?)) AND received_at_ms >= ?",
        (listed, since_ms),
    )
    remembered = {digest for (digest,) in rows}
    return sum(digest in remembered for digest in digests)


def forget_seen(connection: sqlite3.Connection, received_before_ms: int, sweep: int) -> int:
    """Forget ids seen before a time in one part of the memory; the part to look at next, around and around.

    Each of the SWEEPS parts is a stretch of digests, so that one transaction reads a small part of the table.
    """
    width = (1 << 63) // SWEEPS
    low = (sweep % SWEEPS) * width
    high = low + width - 1
    connection.execute(
        "DELETE FROM seen WHERE digest BETWEEN ? AND ? AND received_at_ms < ?", (low, high, received_before_ms)
    )
    return (sweep + 1) % SWEEPS


def _earlier(
    connection: sqlite3.Connection,
    message: Message,
    row: Row,
    window_ms: int,
    original_at: Callable[[int], Message | None],
) -> Earlier | None:
    """The message that this one repeats; None when it is fresh after all, and remembered as such."""
    _, offset, received_at_ms, route = row
    for salt in range(SALTS):
        digest = digest_of(message.message_id, salt)
        stored = _row(connection, digest)
        if stored is None:
            connection.execute(_INSERT, (digest, offset, received_at_ms, route))
            return None
        if stored[1] == offset:
            return None
        original = original_at(stored[1])
        if original is not None and original.message_id != message.message_id:
            continue  # another id with the same 63 bits
        if received_at_ms - stored[2] <= window_ms:
            return Earlier(message, original)
        connection.execute(
            "UPDATE seen SET offset = ?, received_at_ms = ?, route = ? WHERE digest = ?",
            (offset, received_at_ms, route, digest),
        )
        return None
    return Earlier(message, None)


def _row(connection: sqlite3.Connection, digest: int) -> Row | None:
    row: Row | None = connection.execute(
        "SELECT digest, offset, received_at_ms, route FROM seen WHERE digest = ?", (digest,)
    ).fetchone()
    return row


def _stored(connection: sqlite3.Connection, digests: Iterable[int]) -> dict[int, int]:
    listed = f"[{','.join(map(str, digests))}]"
    return dict(
        connection.execute(
            "SELECT digest, offset FROM seen WHERE digest IN (SELECT value FROM json_each(?))", (listed,)
        )
    )


def digest_of(message_id: str, salt: int = 0) -> int:
    """63 bits that stand for a message id. `salt`: how many other ids were found there before."""
    digest = blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    number = int.from_bytes(digest[:8], "big") & 0x7FFF_FFFF_FFFF_FFFF
    return number if salt == 0 else (number * 6_364_136_223_846_793_005 + salt) & 0x7FFF_FFFF_FFFF_FFFF
