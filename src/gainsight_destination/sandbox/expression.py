"""The `expression` of a filter: aliases joined by AND and OR, with parentheses; AND binds tighter."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from gainsight_destination.sandbox.answers import RefusedError, invalid

TOKEN: Final = re.compile(r"\s*(\(|\)|[A-Za-z0-9_]+)")
MAX_DEPTH: Final = 50


@dataclass(frozen=True, slots=True)
class Alias:
    """One condition, by its alias."""

    name: str

    def holds(self, condition: Callable[[str], bool]) -> bool:
        return condition(self.name)

    def certain(self) -> Iterator[str]:
        yield self.name


@dataclass(frozen=True, slots=True)
class AllOf:
    """Parts joined by AND."""

    parts: tuple["Expression", ...]

    def holds(self, condition: Callable[[str], bool]) -> bool:
        return all(part.holds(condition) for part in self.parts)

    def certain(self) -> Iterator[str]:
        """Aliases that hold for every row that the expression lets through."""
        for part in self.parts:
            yield from part.certain()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Parts joined by OR."""

    parts: tuple["Expression", ...]

    def holds(self, condition: Callable[[str], bool]) -> bool:
        return any(part.holds(condition) for part in self.parts)

    def certain(self) -> Iterator[str]:
        return iter(())


Expression = Alias | AllOf | AnyOf


def parse_expression(text: str, aliases: Collection[str]) -> Expression:
    """Read an expression over the given aliases. Raises RefusedError."""
    parser = _Parser(_tokens(text), aliases)
    found = parser.any_of(0)
    if parser.tokens:
        raise _malformed(f"{parser.tokens[0]} is not expected")
    return found


class _Parser:
    def __init__(self, tokens: list[str], aliases: Collection[str]) -> None:
        self.tokens, self.aliases = tokens, aliases

    def any_of(self, depth: int) -> Expression:
        parts = [self._all_of(depth)]
        while self._next_is("OR"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self._next_is("AND"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise _malformed("it is nested too deeply")
        if self._next_is("("):
            inside = self.any_of(depth + 1)
            if not self._next_is(")"):
                raise _malformed("a parenthesis is not closed")
            return inside
        if not self.tokens:
            raise _malformed("it ends too early")
        alias = self.tokens.pop(0)
        if alias not in self.aliases:
            raise _malformed(f"{alias} is not the alias of a condition")
        return Alias(alias)

    def _next_is(self, token: str) -> bool:
        if self.tokens and self.tokens[0].upper() == token and self.tokens[0] not in self.aliases:
            self.tokens.pop(0)
            return True
        return False


def _tokens(text: str) -> list[str]:
    tokens, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise _malformed(f"{text[position:].strip()[:20]} is not expected")
        tokens.append(match[1])
        position = match.end()
    return tokens


def _malformed(why: str) -> RefusedError:
    return invalid(f"The expression of the filter is not valid: {why}")
