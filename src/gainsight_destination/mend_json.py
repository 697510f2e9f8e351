"""Mends JSON that senders are known to break, so that one bad value does not cost a whole batch.

Only for text that a decoder refused: it looks at every character. Its work grows with the length of the text, however
that is made.
"""

import re
from typing import Final

MAX_DEPTH: Final = 500
"""Levels of nesting that are kept of a text nested too deeply to be read."""

MAX_BRACKETS: Final = 100_000
"""A text with more of them is not made flatter; a batch of 2,500 messages has fewer."""

MAX_LITERALS: Final = 10_000
"""A text with more of NaN and Infinity is left as it is."""

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)'
_PAIR: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF: Final = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
_LITERAL: Final = rb"-?\b(?:NaN|Infinity)\b"
_HALVES: Final = re.compile(rb"((?:[^\\]++|%b|(?!%b)\\.)++)|%b" % (_PAIR, _HALF, _HALF), re.DOTALL)
_LITERALS: Final = re.compile(rb"((?:[^\"NI\-]++|%b|(?!%b)[NI\-])++)|%b" % (_STRING, _LITERAL, _LITERAL), re.DOTALL)
_BRACKETS: Final = re.compile(rb"(?:[^\"\[\]{}]++|%b)++|[\[\]{}]" % _STRING, re.DOTALL)


def mended(text: bytes) -> bytes:
    """`text` with U+FFFD for half a surrogate pair, and null for the numbers that JSON does not have.

    Browsers send halves when they cut an emoji in two. Segment's Python library sends NaN and Infinity as they are;
    JavaScript itself writes null for them.
    """
    text = _HALVES.sub(lambda found: found[1] or rb"\ufffd", text)
    if 0 < text.count(b"NaN") + text.count(b"Infinity") <= MAX_LITERALS:
        text = _LITERALS.sub(lambda found: found[1] or b"null", text)
    return text


def flattened(text: bytes) -> bytes:
    """`text` with null for what is nested deeper than MAX_DEPTH."""
    if text.count(b"[") + text.count(b"{") > MAX_BRACKETS:
        return text
    kept: list[bytes] = []
    depth = 0
    for token in _BRACKETS.findall(text):
        if token in (b"[", b"{"):
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(b"null")
        if depth <= MAX_DEPTH:
            kept.append(token)
        if token in (b"]", b"}"):
            depth -= 1
    return b"".join(kept)
