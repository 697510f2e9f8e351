"""What a message itself says of account and e-mail, read from its traits or properties."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gainsight_destination.events.emails import normalise_email
from gainsight_destination.events.message import Message, id_text
from gainsight_destination.resolve.identities import Names


class Said(NamedTuple):
    """Accounts by the name that said them, as sent, and the e-mail. `odd_email`: one was sent but has no shape."""

    accounts: Mapping[str, str]
    email: str | None = None
    odd_email: bool = False


NOTHING: Final = Said({})


class SaidReader:
    """Reads only the named keys of traits and properties; the rest is skipped, not built."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Names = tuple(sorted(set(names)))
        fields = {f"field_{index}": name for index, name in enumerate((*self.names, "email"))}
        shape = msgspec.defstruct("Said", [(attribute, Any, None) for attribute in fields], rename=fields, gc=False)
        self._decode = msgspec.json.Decoder(shape).decode
        self._accounts = tuple(zip(fields, self.names, strict=False))
        self._email = f"field_{len(self.names)}"

    def read(self, message: Message) -> Said:
        if message.body == b"{}":
            return NOTHING
        try:
            found = self._decode(message.body)
        except (msgspec.DecodeError, RecursionError):  # nested deeper than can be read: it says nothing
            return NOTHING
        accounts = {}
        for attribute, name in self._accounts:
            value = getattr(found, attribute)
            if value is not None and (text := id_text(value)) is not None:
                accounts[name] = text
        if message.type != "identify":
            return Said(accounts) if accounts else NOTHING
        sent = getattr(found, self._email)
        email = normalise_email(sent)
        return Said(accounts, email, odd_email=email is None and sent not in (None, ""))


def best_account(accounts: Mapping[str, str], names: Names) -> str | None:
    """The account said under the best of a destination's names."""
    for name in names:
        if name in accounts:
            return accounts[name]
    return None
