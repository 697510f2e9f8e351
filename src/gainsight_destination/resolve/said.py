"""What a message itself says of account and e-mail, read from its traits or properties."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from gainsight_destination.events.account_ids import normalise_account_id
from gainsight_destination.events.emails import normalise_email
from gainsight_destination.events.message import Message, id_text
from gainsight_destination.resolve.identities import Names


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
