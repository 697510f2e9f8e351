"""JSON that senders break, made readable, and nothing else of it changed."""

import json

import msgspec
import pytest

from gainsight_destination.mend_json import MAX_DEPTH, flattened, mended


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a":NaN,"b":[Infinity,-Infinity, NaN]}', b'{"a":null,"b":[null,null, null]}'),
        (rb'{"a NaN":"NaN \" NaN","b":NaN}', rb'{"a NaN":"NaN \" NaN","b":null}'),
        (rb'"\ud83d\ude00 \ud83d \\ud83d \ude00"', rb'"\ud83d\ude00 \ufffd \\ud83d \ufffd"'),
        (rb'"\\\ud83d\ude00"', rb'"\\\ud83d\ude00"'),
        (b"{xNaN:NaNs}", b"{xNaN:NaNs}"),
        (b'{"a":-1,"N":"I"}', b'{"a":-1,"N":"I"}'),
        (b'{"open \\', b'{"open \\'),
        (b"", b""),
    ],
)
def test_mended(text: bytes, expected: bytes) -> None:
    """Half surrogates and numbers that are none are replaced, outside of where they only look so; twice is as once."""
    assert mended(text) == expected
    assert mended(expected) == expected


def test_what_is_too_deep_is_cut_and_nothing_beside_it() -> None:
    """The rest of the text stays as it was, brackets in strings count for nothing."""
    deep = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    text = b'[{"x":"' + b"[{" * 2_000 + b'","y":[[]]},' + deep + b',{"z":1}]'
    first, cut, last = msgspec.json.decode(flattened(text))
    assert (first, last) == ({"x": "[{" * 2_000, "y": [[]]}, {"z": 1})
    levels = 1
    while cut is not None:
        cut, levels = cut["a"], levels + 1
    assert levels == MAX_DEPTH
    assert flattened(flattened(text)) == flattened(text)


def test_a_shallow_text_is_left_alone() -> None:
    """A text of at most 500 levels comes out as it went in."""
    text = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert flattened(text) == text
    assert json.loads(flattened(b"[" + text + b"]")) == json.loads(text[:-MAX_DEPTH] + b"null" + text[MAX_DEPTH:])
