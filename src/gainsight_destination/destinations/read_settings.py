"""Reads the settings of a destination one by one, and gathers a sentence for everything that is wrong with them.

The sentences say what to change and never repeat a value: a secret may have been put into the wrong place.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")
D = TypeVar("D")

MISSING: Any = object()
"""The default of a setting that must be given."""

KIND_NAMES = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


class WrongValueError(Exception):
    """A value cannot be a setting. The text goes on where the setting's name ends: "must be ..."."""


class SettingsReader:
    """Takes settings by name, in any order. `problems()` comes last: it also knows what nobody asked for."""

    def __init__(self, raw: Mapping[str, Any], *, kind: str = "setting") -> None:
        self._kind = kind
        self._raw = raw
        self._asked: set[str] = set()
        self._problems: list[str] = []

    def take(self, name: str, read: Callable[[Any], T], default: D) -> T | D:
        """The setting as `read` understands it; the default when it is absent, or wrong, which becomes a problem."""
        self._asked.add(name)
        if name not in self._raw:
            if default is MISSING:
                self._problems.append(f"{name} is required")
            return default
        try:
            return read(self._raw[name])
        except WrongValueError as error:
            self._problems.append(f"{name} {error}")
            return default

    def refuse(self, problem: str) -> None:
        """Add a problem that concerns more than one setting."""
        self._problems.append(problem)

    def problems(self) -> list[str]:
        """Everything wrong so far, and each setting that nobody took."""
        unknown = [str(name) for name in self._raw if name not in self._asked]
        return self._problems + [unknown_name(self._kind, name, self._asked) for name in unknown]


def unknown_name(kind: str, name: str, known: set[str]) -> str:
    """A sentence about a name that does not exist, with the one that was probably meant."""
    lowered = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower().replace("_", ""), lowered, n=1)
    hint = f"did you mean {lowered[close[0]]}?" if close else f"there is {', '.join(sorted(known))}"
    return f"unknown {kind} {name[:60]!r}; {hint}"


def described(value: object) -> str:
    """What a value is, without its content."""
    if value is None:
        return "it is empty"
    return f"this is {KIND_NAMES.get(type(value), 'something else')}"


def text(value: Any) -> str:
    """Text with something in it, trimmed."""
    if not isinstance(value, str):
        hint = "; put it in quotes" if isinstance(value, int | float) else ""
        raise WrongValueError(f"must be text; {described(value)}{hint}")
    if not value.strip():
        raise WrongValueError("is empty; give it a value or leave it out")
    return value.strip()


def boolean(value: Any) -> bool:
    """True or false; also as text, which is what an environment variable gives."""
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "false"):
        return bool(word == "true")
    if not isinstance(word, bool):
        raise WrongValueError(f"must be true or false; {described(value)}")
    return word


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of a few words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value.strip() not in choices:
            raise WrongValueError(f"must be {' or '.join(choices)}")
        return value.strip()

    return read


def number(lowest: float, highest: float) -> Callable[[Any], float]:
    """A number within bounds, both allowed; also as text, which is what an environment variable gives."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise WrongValueError(f"must be a number; {described(value)}")
        try:
            amount = float(value)
        except (ValueError, OverflowError):
            raise WrongValueError(f"must be a number from {lowest:,g} to {highest:,g}") from None
        if not lowest <= amount <= highest:
            raise WrongValueError(f"must be from {lowest:,g} to {highest:,g}")
        return amount

    return read


def whole_number(lowest: int, highest: int) -> Callable[[Any], int]:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        amount = number(lowest, highest)(value)
        if not amount.is_integer():
            raise WrongValueError(f"must be a whole number from {lowest:,} to {highest:,}")
        return int(amount)

    return read


def optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """The same, or null."""
    return lambda value: None if value is None else read(value)


def list_of(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A list, each of whose rows `read` understands; every wrong row is named."""

    def read_list(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise WrongValueError(f"must be a list; {described(value)}")
        return tuple(_all(read, ((f"row {place}", row) for place, row in enumerate(value, start=1))).values())

    return read_list


def mapping_of(read_name: Callable[[Any], str], read: Callable[[Any], T]) -> Callable[[Any], Mapping[str, T]]:
    """An object, each of whose names and values is understood; every wrong one is named."""

    def read_mapping(value: Any) -> Mapping[str, T]:
        if not isinstance(value, Mapping):
            raise WrongValueError(f"must be an object; {described(value)}")
        names = _all(read_name, ((f"name {place}", name) for place, name in enumerate(value, start=1)))
        values = _all(read, ((f"value of {name}", inner) for name, inner in value.items()))
        return dict(zip(names.values(), values.values(), strict=True))

    return read_mapping


def _all(read: Callable[[Any], T], rows: Any) -> dict[str, T]:
    found: dict[str, T] = {}
    wrong: list[str] = []
    for place, row in rows:
        try:
            found[place] = read(row)
        except WrongValueError as error:
            wrong.append(f"{place} {error}")
    if wrong:
        raise WrongValueError("has wrong rows: " + "; ".join(wrong))
    return found


def event_name(value: Any) -> str:
    """A row of the allowlist: a name, or an object whose `key` is the name, as the original integration had it."""
    if isinstance(value, Mapping):
        if not isinstance(value.get("key"), str) or not value["key"].strip():
            raise WrongValueError("must have the name of a track event as its key")
        name = value["key"]
    else:
        name = value
    if not isinstance(name, str):
        raise WrongValueError(f"must be the name of a track event; {described(value)}")
    if not name.strip():
        raise WrongValueError("is empty; name a track event or leave the row out")
    return name
