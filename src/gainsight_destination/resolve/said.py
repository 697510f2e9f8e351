"""What a message itself says of account and e-mail, read from its traits or properties."""

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from gainsight_destination.events.message import Message, id_text
from gainsight_destination.resolve.account_ids import normalise_account_id
from gainsight_destination.resolve.identities import Names

_EMAIL: Final = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]+")
MAX_EMAIL_CHARACTERS: Final = 254
"""The longest address that fits an SMTP path (RFC 5321, 4.5.3.1.3)."""


def normalise_email(value: object) -> str | None:
    """Trimmed and lower case, or None when it has not the shape of an address."""
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    return text if len(text) <= MAX_EMAIL_CHARACTERS and _EMAIL.fullmatch(text) else None


class Said(NamedTuple):
    """Accounts by the name that said them (normalised), and the e-mail. `odd_email`: one was sent but has no shape."""

    accounts: dict[str, str]
    email: str | None = None
    odd_email: bool = False


class SaidReader:
    """Reads only the named keys of traits and properties; the rest is skipped, not built."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Names = tuple(sorted(set(names)))
        fields = {f"field_{index}": name for index, name in enumerate((*self.names, "email"))}
        shape = msgspec.defstruct("Said", [(attribute, Any, None) for attribute in fields], rename=fields, gc=False)
        self._decode = msgspec.json.Decoder(shape).decode
        self._attributes = tuple(zip(fields, self.names, strict=False))
        self._email = f"field_{len(self.names)}"

    def read(self, message: Message) -> Said:
        if message.body == b"{}":
            return Said({})
        try:
            said = self._decode(message.body)
        except (msgspec.DecodeError, RecursionError):  # nested deeper than can be read: it says nothing
            return Said({})
        accounts = {}
        for attribute, name in self._attributes:
            text = id_text(getattr(said, attribute))
            if text is not None:
                accounts[name] = normalise_account_id(text)
        if message.type != "identify":
            return Said(accounts)
        sent = getattr(said, self._email)
        email = normalise_email(sent)
        return Said(accounts, email, odd_email=email is None and sent not in (None, ""))


def best_account(accounts: dict[str, str], names: Names) -> str | None:
    """The account said under the best of a destination's names."""
    return next((accounts[name] for name in names if name in accounts), None)
