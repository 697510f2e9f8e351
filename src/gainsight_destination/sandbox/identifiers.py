"""GSIDs and other ids that look random and repeat from run to run: digests of a seed and a counter."""

import hashlib
import re
import sqlite3
import string
import uuid
from typing import Final

ALPHABET: Final = string.ascii_uppercase + string.digits
GSID: Final = re.compile(r"[A-Z0-9]{36}")
"""Gainsight documents 36 characters: an object's 18-character key prefix, then 18 more."""


def code(text: str, length: int) -> str:
    """`length` characters of [A-Z0-9] that depend on the text alone."""
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=32).digest(), "big")
    characters = []
    for _ in range(length):
        number, index = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[index])
    return "".join(characters)


def key_prefix(family: str, name: str) -> str:
    """The 18 characters that every GSID of an object begins with; families seen are 1P02, 1P01, 1C01, 1Z0x, 1I00."""
    return family + code(f"prefix:{name.lower()}", 18 - len(family))


def next_text(connection: sqlite3.Connection) -> str:
    """A text never given before by this file: its seed with a counter."""
    (count,) = connection.execute(
        "UPDATE settings SET value = value + 1 WHERE name = 'random_count' RETURNING value"
    ).fetchone()
    (seed,) = connection.execute("SELECT value FROM settings WHERE name = 'random_seed'").fetchone()
    return f"{seed}:{count}"


def new_gsid(connection: sqlite3.Connection, prefix: str) -> str:
    return prefix + code(next_text(connection), 18)


def new_uuid(connection: sqlite3.Connection) -> str:
    digest = hashlib.blake2b(next_text(connection).encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))
