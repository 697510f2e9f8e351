"""Traits and properties made into Gainsight's fields."""

from typing import Any

import pytest

from gainsight_destination.destinations.contract import Statement
from gainsight_destination.destinations.gainsight.projection import (
    COMPANY_TRAITS,
    PERSON_TRAITS,
    map_traits,
    traits_of_fields,
    usage_digest,
)
from gainsight_destination.destinations.gainsight.schema import Schema, parse_schema
from gainsight_destination.destinations.gainsight.values import NO_OPTION, UNFIT, Field, Fitted, fit

SCHEMA = Schema(
    "Company",
    {
        "Name": Field("Name", "STRING", length=10),
        "Employees": Field("Employees", "NUMBER"),
        "Industry": Field("Industry", "STRING"),
        "Plan__gc": Field("Plan__gc", "STRING"),
        "Score": Field("Score", "NUMBER", writable=False),
    },
)


MULTI = Field("f", "MULTISELECTDROPDOWNLIST", labels={"gold": "Gold", "a, b": "A, B"})
USAGE_KEY = "d6e1a5a97a1e5de9ef4696ca455ef76ac7e441a2"


def said(*traits: dict[str, Any]) -> list[tuple[int, str, Statement, dict[str, Any]]]:
    return [(n, f"m{n}", Statement(), said) for n, said in enumerate(traits)]


def fields(*traits: dict[str, Any], explicit: dict[str, str] | None = None) -> dict[str, Any]:
    return map_traits(said(*traits), traits_of_fields(COMPANY_TRAITS, explicit or {}), SCHEMA).fields


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        ("x", Field("f", "STRING"), Fitted("x")),
        (5, Field("f", "STRING"), Fitted("5")),
        (True, Field("f", "STRING"), Fitted("true")),
        ({"a": [1]}, Field("f", "STRING"), Fitted('{"a":[1]}')),
        ("toolong", Field("f", "STRING", length=3), Fitted("too", notice="text_cut")),
        (None, Field("f", "NUMBER"), Fitted(None)),
        (" 12 ", Field("f", "NUMBER"), Fitted(12)),
        ("1.5", Field("f", "CURRENCY"), Fitted(1.5)),
        ("many", Field("f", "NUMBER"), UNFIT),
        ("1_000", Field("f", "NUMBER"), UNFIT),
        ("inf", Field("f", "NUMBER"), UNFIT),
        (True, Field("f", "NUMBER"), UNFIT),
        ("TRUE", Field("f", "BOOLEAN"), Fitted(True)),
        (" Yes", Field("f", "BOOLEAN"), Fitted(True)),
        ("off", Field("f", "BOOLEAN"), Fitted(False)),
        (1, Field("f", "BOOLEAN"), Fitted(True)),
        (2, Field("f", "BOOLEAN"), UNFIT),
        ("maybe", Field("f", "BOOLEAN"), UNFIT),
        (10**400, Field("f", "NUMBER"), UNFIT),
        ("1,200", Field("f", "CURRENCY"), UNFIT),
        ("$1,200.50", Field("f", "CURRENCY"), Fitted(1200.5)),
        ("99 EUR", Field("f", "CURRENCY"), Fitted(99)),
        ("-5 €", Field("f", "CURRENCY"), Fitted(-5)),
        ("45%", Field("f", "PERCENTAGE"), Fitted(45)),
        ("45%", Field("f", "NUMBER"), UNFIT),
        (1772359200, Field("f", "DATE"), Fitted("2026-03-01")),
        (1772359200000, Field("f", "DATETIME"), Fitted("2026-03-01T10:00:00.000Z")),
        ("0001-01-01T00:00:00.5Z", Field("f", "DATETIME"), Fitted("0001-01-01T00:00:00.500Z")),
        ("a\0b", Field("f", "STRING"), Fitted("ab")),
        ("001A0000006Vm9rIAC", Field("f", "SFDCID", length=18), Fitted("001A0000006Vm9rIAC")),
        ("001A0000006Vm9rIAC!", Field("f", "SFDCID", length=18), UNFIT),
        ({"a": 1}, Field("f", "URL"), UNFIT),
        ("1P02" + "A" * 32, Field("f", "LOOKUP"), UNFIT),
        (None, Field("f", "LOOKUP"), Fitted(None)),
        ('{"a": 1}', Field("f", "JSON"), Fitted('{"a": 1}')),
        ("a", Field("f", "JSON"), Fitted('"a"')),
        ([1], Field("f", "JSON", length=2), UNFIT),
        ("a\0b\ud83d", Field("f", "STRING"), Fitted("ab\ufffd")),
        (1_800_000_000, Field("f", "DATETIME"), Fitted("2027-01-15T08:00:00.000Z")),
        (1_800_000_000_000, Field("f", "DATETIME"), Fitted("2027-01-15T08:00:00.000Z")),
        ("acme", Field("f", "LOOKUP"), UNFIT),
        (None, Field("f", "STRING", nillable=False), Fitted(ok=False, notice="null_skipped")),
        (["Gold", "lead", "gold"], MULTI, Fitted(["Gold"], notice="option_unknown")),
        ("gold; a, b", MULTI, Fitted(["Gold", "A, B"])),
        ("gold,gold", MULTI, Fitted(["Gold"])),
        ("a, b", MULTI, Fitted(["A, B"])),
        ([], MULTI, Fitted(None)),
        (["lead"], MULTI, NO_OPTION),
        ("2026-03-01T10:00:00+01:00", Field("f", "DATETIME"), Fitted("2026-03-01T09:00:00.000Z")),
        ("2026-03-01T10:00:00+01:00", Field("f", "DATE"), Fitted("2026-03-01")),
        ("soon", Field("f", "DATE"), UNFIT),
        (" Mo@Acme.Test", Field("f", "EMAIL"), Fitted("mo@acme.test")),
        ("mo", Field("f", "EMAIL"), UNFIT),
        ("gold", Field("f", "PICKLIST", labels={"gold": "Gold"}), Fitted("Gold")),
        ("free", Field("f", "PICKLIST"), Fitted("free")),
        ("none", Field("f", "PICKLIST", labels={}), NO_OPTION),
        (["gold"], Field("f", "PICKLIST", labels={"gold": "Gold"}), NO_OPTION),
        ("lead", Field("f", "PICKLIST", labels={"gold": "Gold"}), NO_OPTION),
    ],
)
def test_fit(value: Any, target: Field, expected: Fitted) -> None:
    """A value becomes what the field takes, or is known not to fit."""
    assert fit(value, target) == expected


def test_last_writer_wins_among_values_that_fit() -> None:
    """The newest value counts; one that cannot become the type is passed over."""
    assert fields({"employees": 5}, {"employees": "7"}, {"employees": "lots"}) == {"Employees": 7}
    assert fields({"name": "Acme"}, {"industry": "x"}, {"name": "Beta"}) == {"Name": "Beta", "Industry": "x"}


def test_null_clears_but_not_a_name() -> None:
    """A trait sent as null clears its field, except Name."""
    assert fields({"industry": "x", "name": "Acme"}, {"industry": None, "name": None}) == {
        "Industry": None,
        "Name": "Acme",
    }


def test_explicit_mapping_wins() -> None:
    """An explicit mapping takes the trait, and the field, from the standard one."""
    assert fields({"plan": "gold", "name": "Acme"}, explicit={"plan": "Plan__gc"}) == {
        "Plan__gc": "gold",
        "Name": "Acme",
    }
    assert fields({"title": "T", "name": "Acme"}, explicit={"title": "Name"}) == {"Name": "T"}
    assert fields({"name": "Acme"}, explicit={"name": "Plan__gc"}) == {"Plan__gc": "Acme"}
    assert fields({"address": {"city": "Bern"}}, explicit={"address.city": "Plan__gc"}) == {"Plan__gc": "Bern"}


def test_what_is_left_out_is_noticed() -> None:
    """Cut, skipped and unwritable values are counted, never sent."""
    mapped = map_traits(
        said({"name": "a very long name", "employees": "lots", "score": 3}),
        traits_of_fields(COMPANY_TRAITS, {"score": "Score", "x": "Absent"}),
        SCHEMA,
    )
    assert mapped.fields == {"Name": "a very lon"}
    assert set(mapped.notices) == {
        ("text_cut", "Company.Name"),
        ("value_skipped", "Company.Employees"),
        ("field_not_writable", "Company.Score"),
    }


def test_camel_and_snake_case_traits() -> None:
    """firstName and first_name are the same trait."""
    person = Schema("person", {name: Field(name, "STRING") for name in PERSON_TRAITS})
    mapping = traits_of_fields(PERSON_TRAITS, {})
    for traits in ({"firstName": "Mo"}, {"first_name": "Mo"}):
        assert map_traits(said(traits), mapping, person).fields == {"FirstName": "Mo"}


def test_the_usage_key_is_stable() -> None:
    """The key of a daily usage row never changes between versions: rows in Gainsight carry it."""
    assert usage_digest("001A0000006Vm9rIAC", "u-1", "Report Viewed", "2026-03-01") == USAGE_KEY
    assert usage_digest("a", None, "b", "c") != usage_digest("a", "b", "c", "d")


def test_describe_is_read() -> None:
    """Fields, types, lengths, picklists and what may be written come from the metadata."""
    schema = parse_schema(
        "Company",
        [
            {
                "fields": [
                    {"fieldName": "Name", "dataType": "STRING", "meta": {"length": 250, "updateable": True}},
                    {"fieldName": "Gsid", "dataType": "GSID", "meta": {"readOnly": True}},
                    {
                        "fieldName": "Stage",
                        "dataType": "PICKLIST",
                        "options": [
                            {"label": "Won", "value": "1I00X", "active": True},
                            {"label": "Old", "value": "1I00Y", "active": False},
                        ],
                    },
                ]
            }
        ],
    )
    assert schema.fields["Name"] == Field("Name", "STRING", 250)
    assert not schema.can_write("Gsid")
    assert schema.fields["Stage"].labels == {"Won": "Won", "won": "Won", "1i00x": "Won"}
    assert not schema.can_write("Absent")
