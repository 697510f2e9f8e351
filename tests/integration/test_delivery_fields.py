"""Values and fields: whatever a trait holds, and whatever becomes of a field, Gainsight is sent only what it takes."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.delivery import EVENTS, Delivery, delivery_at_sandbox
from tests.support.pipeline import group, identify, track

from gainsight_destination.sandbox.schema import DataType

LABELS = ("Gold", "Silver; plated", "Old")
"""Of the picklists; the last is no longer active."""
REST: Mapping[str, Mapping[str, Any]] = {
    "LOOKUP": {"lookup": "gsuser"},
    "PICKLIST": {"options": [{"label": label, "active": label != "Old"} for label in LABELS]},
    "MULTISELECTDROPDOWNLIST": {"options": [{"label": label, "active": label != "Old"} for label in LABELS]},
    "RICHTEXTAREA": {"length": 40},
    "JSON": {"length": 40},
    "EMAIL": {"length": 20},
    "URL": {"length": 20},
}
FIELDS: Mapping[str, Mapping[str, Any]] = {
    **{kind: {"data_type": kind, **REST.get(kind, {})} for kind in get_args(DataType)},
    "REQUIRED": {"data_type": "NUMBER", "nillable": False},
    "EMPTY_LIST": {"data_type": "PICKLIST"},
}
"""A field of every data type, by the trait that is mapped to it, and two that are special."""
MAPPING = {trait: f"{trait.title()}_Test__gc" for trait in FIELDS}
GSID = "1P02" + "0" * 32
TELLING = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "true",
        "FALSE",
        "12",
        " 1.5 ",
        "1e400",
        "1,200",
        "NaN",
        "2026-03-01",
        "2026-03-01T10:00Z",
    ),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1800000000", "1800000000000", "Mo@Acme.test"),
    *("gold", "Gold;Silver; plated", "Gold;lead", "Old", ";", GSID, "0015000000abcDE", "0015000000abcDEAAY"),
    *("acme.test/x", "https://acme.test/" + "x" * 20, "javascript:alert(1).x", "{}", "[1", "\N{PILE OF POO}" * 300),
    *(1_800_000_000, 1_800_000_000_000, 210_318, -1, 0, 10**400, 1e308, 0.1, ["Gold", "lead"], ["Old"], [], [None], {}),
)
"""Values that a type may take, or only seems to."""
VALUES = st.recursive(
    st.sampled_from(TELLING)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
TRAITS = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES))


async def create_fields(delivery: Delivery) -> None:
    for object_name in ("company", "person", EVENTS):
        for trait, field in MAPPING.items():
            await delivery.sandbox.control("PUT", f"schema/{object_name}/fields/{field}", FIELDS[trait])


async def deliver_all(delivery: Delivery, said: list[dict[str, Any]], turn: int) -> None:
    """Every set of traits for a Company, a Person and an event of its own, then once more the other way round."""
    for turned in (said, said[::-1]):
        for number, traits in enumerate(turned):
            user = f"u{turn}.{number}"
            delivery.send(
                group(user, f"{turn}.{number}", traits),
                identify(user, {**traits, "email": f"{user}@x.test", "title": traits.get("JSON")}),
                track(user, properties=traits),
            )
        await delivery.drain()


def test_any_value_for_any_type(memory_path: Path) -> None:
    """P10: of any JSON values for fields of every type, Gainsight refuses none, and no record becomes a dead letter."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        mapped = {"companyFields": MAPPING, "personFields": MAPPING, "eventFields": MAPPING}
        delivery = runner.run(
            stack.enter_async_context(delivery_at_sandbox(memory_path, createCompanies=True, **mapped))
        )
        runner.run(create_fields(delivery))
        turns = iter(range(10_000))

        @settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
        @example([dict.fromkeys(FIELDS, value) for value in TELLING])
        @given(st.lists(TRAITS, min_size=1, max_size=6))
        def nothing_is_refused(said: list[dict[str, Any]]) -> None:
            runner.run(deliver_all(delivery, said, next(turns)))
            books = runner.run(delivery.books())
            refused = [call for call in runner.run(delivery.sandbox.calls()) if call["status"] >= 400]
            assert (books["dead"], books["pending"], books["parked"], refused) == (0, 0, {}, [])

        try:
            nothing_is_refused()
            for object_name in ("company", "person", EVENTS):
                rows = runner.run(delivery.rows(object_name))
                never = {trait for trait, field in MAPPING.items() if all(row.get(field) is None for row in rows)}
                assert never == {"GSID", "LOOKUP", "EMPTY_LIST"}
        finally:
            runner.run(stack.aclose())


async def vanish(delivery: Delivery, object_name: str, *fields: str) -> None:
    for field in fields:
        await delivery.sandbox.control("DELETE", f"schema/{object_name}/fields/{field}")


async def left_out(delivery: Delivery) -> set[str]:
    """The fields that a notice says were left out; all else went through, without a pause or a dead letter."""
    books = await delivery.books()
    assert (books["dead"], books["pending"], books["parked"], books["pauses"]) == (0, 0, {}, [])
    return {subject for subject in books["notices"].get("field_not_writable", {}) if subject.endswith("__gc")}


async def test_fields_of_a_company_vanish(tmp_path: Path) -> None:
    """One after the other, each is left out with a notice; the others are still written, and nothing is paused."""
    mapping = {"plan": "PICKLIST_Test__gc", "tier": "STRING_Test__gc", "seats": "NUMBER_Test__gc"}
    async with delivery_at_sandbox(tmp_path, companyFields=mapping) as delivery:
        for field in mapping.values():
            kind = field.removesuffix("_Test__gc")
            await delivery.sandbox.control("PUT", f"schema/company/fields/{field}", FIELDS[kind])
        one, two = [row["SfdcAccountId"] for row in (await delivery.accounts())[:2]]

        async def say(seats: int) -> list[int]:
            for account in (one, two):
                delivery.send(group("u", account, {"plan": "gold", "tier": f"t{seats}", "seats": seats}))
            await delivery.drain()
            rows = [row for row in await delivery.accounts() if row["SfdcAccountId"] in (one, two)]
            return [row["NUMBER_Test__gc"] for row in rows]

        assert await say(1) == [1, 1]
        await vanish(delivery, "company", mapping["plan"])
        assert await say(2) == [2, 2]
        await vanish(delivery, "company", mapping["tier"])
        assert await say(3) == [3, 3]
        assert await left_out(delivery) == {f"Company.{mapping['plan']}", f"Company.{mapping['tier']}"}


@pytest.mark.parametrize("people", [1, 120])
async def test_a_field_of_people_vanishes(tmp_path: Path, people: int) -> None:
    """Also of people whom Gainsight has taken and not yet written: what it refuses of them goes again without it."""
    async with delivery_at_sandbox(tmp_path, personFields={"plan": "Plan__gc"}) as delivery:
        await delivery.sandbox.control("PUT", "schema/person/fields/Plan__gc", {})
        names = [f"u{number}" for number in range(people)]
        delivery.send(identify("first", {"email": "first@x.test", "plan": "gold"}))
        await delivery.drain()
        delivery.send(*(identify(name, {"email": f"{name}@x.test", "name": name, "plan": "gold"}) for name in names))
        await delivery.resolve()
        for _ in range(20 if people > 1 else 0):
            delivery.clock.advance(await delivery.worker.step() / 1000)
            if await delivery.read("SELECT count(*) FROM jobs HAVING count(*) > 1"):
                break
        assert people == 1 or await delivery.read("SELECT count(*) FROM jobs HAVING count(*) > 1")
        await vanish(delivery, "person", "Plan__gc")
        await delivery.drain()
        assert {row["Name"] for row in await delivery.rows("person")} == {None, *names}
        assert await left_out(delivery) == {"person.Plan__gc"}


@pytest.mark.parametrize("events", [1, 4])
async def test_fields_of_events_vanish(tmp_path: Path, events: int) -> None:
    """Mapped, of our own, or a lookup, one after the other: the events go without them, one by one or together."""
    fields = ("Plan__gc", "Properties__gc", "Event_Name__gc", "Person_Id__gc", "Company_Id__gc")
    async with delivery_at_sandbox(tmp_path, eventFields={"plan": "Plan__gc"}) as delivery:
        await delivery.sandbox.control("PUT", f"schema/{EVENTS}/fields/Plan__gc", {})
        account = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(identify("u", {"email": "u@x.test", "accountId": account}), track("u", messageId="first"))
        await delivery.drain()
        for field in fields:
            await vanish(delivery, EVENTS, field)
            names = [f"{field}{number}" for number in range(events)]
            delivery.send(*(track("u", messageId=name, properties={"plan": "gold"}) for name in names))
            await delivery.drain()
        assert len(await delivery.rows(EVENTS)) == 1 + len(fields) * events
        assert await left_out(delivery) == {f"{EVENTS}.{field}" for field in fields[:3]}


async def test_a_refusal_that_new_metadata_does_not_mend(tmp_path: Path) -> None:
    """The metadata is read again once, not for each record that is refused in the same way; then the letters come."""
    async with delivery_at_sandbox(tmp_path) as delivery:
        accounts = [row["SfdcAccountId"] for row in (await delivery.accounts())[:3]]
        rule = {"fault": "400", "match": {"method": "PUT", "path": "/v1/data/objects/*"}}
        await delivery.sandbox.control("PUT", "faults", {"rules": [rule]})
        for account in accounts:
            delivery.send(group("u", account, {"industry": "Energy"}))
            await delivery.drain()
        assert len(await delivery.read("SELECT 1 FROM dead_letters")) == 3
        described = [call for call in await delivery.sandbox.calls() if "Company/describe" in call["path"]]
        assert len(described) == 2
