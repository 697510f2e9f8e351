"""Event names as people mean them: settings that name events are compared in this form."""

import re
from typing import Final

_SEPARATORS: Final = re.compile(r"[\W_]+(.|$)", re.ASCII)
_HAS_SEPARATOR: Final = re.compile(r"[_\-.:]")
_CAMEL: Final = re.compile(r"([a-z][A-Z]|[A-Z][a-z])")
_CAPITALS: Final = re.compile(r"(.)([A-Z]+)")


def to_no_case(name: str) -> str:
    """An event name without letter case and separators, as the npm package to-no-case 1.0.2 normalises it.

    `Order Completed`, `order_completed`, `order-completed` and `OrderCompleted` all become `order completed`.
    A name with white space is only lower-cased; one with `_ - . :` is split at every run of characters other than
    ASCII letters and digits; one in camelCase is split before its capitals.
    """
    if any(character.isspace() for character in name):
        return name.lower()
    if _HAS_SEPARATOR.search(name):
        spaced = _SEPARATORS.sub(lambda match: f" {match[1]}" if match[1] else "", name)
        return (spaced or name).lower()
    if _CAMEL.search(name):
        return _CAPITALS.sub(lambda match: f"{match[1]} {' '.join(match[2].lower())}", name).lower()
    return name.lower()
