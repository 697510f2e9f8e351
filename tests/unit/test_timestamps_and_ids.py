"""Timestamps and account ids: facts of the field, as tables."""

import pytest

from gainsight_destination.events.account_ids import doubt, normalise_account_id, salesforce_suffix, spellings
from gainsight_destination.events.timestamps import correct_ms, iso_day, iso_utc, parse_timestamp_ms, utc_day

MS = 1_795_432_604_724  # 2026-11-23T11:16:44.724Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T11:16:44.724Z", MS),
        ("2026-11-23T11:16:44.724+00:00", MS),
        ("2026-11-23T12:16:44.724+01:00", MS),
        ("2026-11-23T12:16:44.724+0100", MS),
        ("2026-11-23T11:16:44.7241234Z", MS),
        ("2026-11-23T11:16:44.724123456Z", MS),
        ("2026-11-23T11:16:44.724", MS),
        ("2026-11-23 11:16:44.724", MS),
        ("2026-11-23T11:16:44Z", MS - 724),
        ("2026-11-23", 1_795_392_000_000),
        ("20261123", 1_795_392_000_000),
        ("2014", 1_388_534_400_000),
        ("2014-2", 1_391_212_800_000),
        (" 2014 ", 1_388_534_400_000),
        ("2015-2-02T00:00:00Z", 1_422_835_200_000),
        (1_795_432_604_724, MS),
        (1_795_432_604, MS - 724),
        ("1795432604724", MS),
        (1_795_432_604.724, MS),
        ("", None),
        ("yesterday", None),
        ("2024-13-45T00:00:00Z", None),
        (None, None),
        (True, None),
        ({}, None),
        (1e30, None),
        (float("nan"), None),
    ],
)
def test_parse(value: object, expected: int | None) -> None:
    """Every form that an SDK sends is read; what is no date is absent."""
    assert parse_timestamp_ms(value) == expected


def test_formats() -> None:
    """Times are written in UTC with milliseconds, days as dates."""
    assert iso_utc(MS) == "2026-11-23T11:16:44.724Z"
    assert iso_day(utc_day(MS)) == "2026-11-23"
    assert iso_utc(-1) == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("original", "sent", "received", "expected"),
    [(0, 5_000, 5_250, 250), (3_600_000, 3_602_000, 2_100, 100), (None, 5, 9, 9), (7, None, 9, 7)],
)
def test_correction(original: int | None, sent: int | None, received: int, expected: int) -> None:
    """Segment's formula, and what holds when a part of it is absent."""
    assert correct_ms(original, sent, received) == expected


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001000000000001", "001000000000001AAA"),
        ("0015000000abcDE", "0015000000abcDEAAY"),
        ("001A0000006Vm9r", "001A0000006Vm9rIAC"),
        ("001A0000006VM9r", "001A0000006VM9rIAG"),
    ],
)
def test_salesforce_ids(short: str, long: str) -> None:
    """A 15-character Account id and its 18-character form are one id."""
    assert short + salesforce_suffix(short) == long
    assert normalise_account_id(f" {short}\n") == long
    assert normalise_account_id(long) == long
    assert spellings(long) == (long, short)
    assert doubt(long) is None


@pytest.mark.parametrize(
    "text", ["555", "acme.example", "o283h08fh2390f923uofu23", "001A0000006Vm9rAAA", "003000000000001"]
)
def test_other_account_ids_are_legal_and_doubtful(text: str) -> None:
    """Anything is an account id; what Salesforce would not issue is said so, and never changed."""
    assert normalise_account_id(text) == text
    assert spellings(text) == (text,)
    assert doubt(text)
