"""E-mail addresses: what has the shape of one, and how two spellings are compared."""

import re
from typing import Final

_EMAIL: Final = re.compile(r"[^@\s,;<>\"\0]+@[^@\s,;<>\"\0]+\.[^@\s,;<>\".\0]+")
MAX_EMAIL_CHARACTERS: Final = 254
"""The longest address that fits an SMTP path (RFC 5321, 4.5.3.1.3)."""


def normalise_email(value: object) -> str | None:
    """Trimmed and lower case, or None when it has not the shape of an address."""
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    return text if len(text) <= MAX_EMAIL_CHARACTERS and _EMAIL.fullmatch(text) else None
