"""Values of every kind against fields of every type: Gainsight refuses none, since what does not fit is not sent."""

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.delivery import EVENTS, Delivery, delivery_at_sandbox
from tests.support.pipeline import group, identify, track

from gainsight_destination.destinations.gainsight.check import check_tenant
from gainsight_destination.destinations.gainsight.destination import GainsightDestination

OPTIONS = [{"label": "Gold"}, {"label": "gold"}, {"label": "Silver, old"}, {"label": "Gone", "active": False}]
FIELDS: dict[str, dict[str, Any]] = {
    "String": {"data_type": "STRING", "length": 20},
    "Text": {"data_type": "RICHTEXTAREA", "length": 40},
    "Number": {"data_type": "NUMBER"},
    "Currency": {"data_type": "CURRENCY"},
    "Percentage": {"data_type": "PERCENTAGE"},
    "Boolean": {"data_type": "BOOLEAN"},
    "Date": {"data_type": "DATE"},
    "DateTime": {"data_type": "DATETIME"},
    "Email": {"data_type": "EMAIL", "length": 30},
    "Url": {"data_type": "URL", "length": 30},
    "Account": {"data_type": "SFDCID", "length": 18},
    "User": {"data_type": "LOOKUP", "lookup": "gsuser"},
    "Id": {"data_type": "GSID", "length": 36},
    "Pick": {"data_type": "PICKLIST", "options": OPTIONS},
    "Empty": {"data_type": "PICKLIST", "options": []},
    "Multi": {"data_type": "MULTISELECTDROPDOWNLIST", "options": OPTIONS},
    "Kept": {"data_type": "STRING", "length": 20, "nillable": False},
}
TRAITS = {name: f"Custom_{name}__gc" for name in FIELDS}

NUMBERS = (0, 1, 10**400, -1e308, 5e-324, 253402300799999, 253402300800000, -62135596800000, 210318)
WORDS = ("yes", "OFF", "1.5", "1e5", "$1,200.50", "45%", "1e999", "inf", "nan", "1_000", "\0", "a\0@b.cd")
DATES = ("2026-03-01T10:00:00+01:00", "0001-01-01T00:00:00+14:00", "20260301", "1772359200", "2026-13-01")
LABELS = ("Gold", " gold ", "GOLD", "Gold;Gone", "silver, old", "gone", "")
IDS = ("1P01" + "a" * 32, "001A0000006Vm9rIAC", "x" * 19, "https://acme.test/" + "x" * 30)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.emails()
    | st.sampled_from([*NUMBERS, *WORDS, *DATES, *LABELS, *IDS])
)
KEYS = st.text("ab\0é", max_size=3)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=5)
SAID = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES))


async def create_fields(delivery: Delivery) -> None:
    for object_name in ("Company", "person", EVENTS):
        for name, field in FIELDS.items():
            await delivery.sandbox.control("PUT", f"schema/{object_name}/fields/{TRAITS[name]}", field)


def test_no_value_is_refused(tmp_path: Path) -> None:
    """Whatever JSON traits and properties hold, there is no 400 and no dead letter, and every message arrives."""
    with asyncio.Runner() as runner:
        mappings = {"companyFields": TRAITS, "personFields": TRAITS, "eventFields": TRAITS}
        context = delivery_at_sandbox(tmp_path, callsPerMinute=90, **mappings)
        delivery = runner.run(context.__aenter__())
        runner.run(create_fields(delivery))
        (account,) = [row["SfdcAccountId"] for row in runner.run(delivery.accounts())][:1]

        seen = [0]

        async def deliver(said: list[dict[str, Any]]) -> None:
            delivery.send(
                *(group("ana", account, traits) for traits in said),
                *(identify("ana", {**traits, "email": "ana@acme.test", "title": said}) for traits in said),
                *(track("ana", "Seen", properties=traits) for traits in said),
            )
            await delivery.drain()
            books = await delivery.books()
            calls = await delivery.sandbox.calls(after=seen[-1])
            assert {call["status"] for call in calls} <= {200}, calls
            seen.extend(call["id"] for call in calls)
            assert (books["dead"], books["pending"], books["delivered"]) == (0, 0, books["received"])
            delivery.clock.advance(1)

        @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.lists(SAID, min_size=4, max_size=12))
        def every_value_is_taken(said: list[dict[str, Any]]) -> None:
            runner.run(deliver(said))

        try:
            every_value_is_taken()
        finally:
            runner.run(context.__aexit__(None, None, None))


async def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """A picklist's notice names the options; the value that fits is what Gainsight holds."""
    async with delivery_at_sandbox(tmp_path, companyFields={"stage": "Stage", "tags": "Tags"}) as delivery:
        before = (await delivery.accounts())[0]
        account = before["SfdcAccountId"]
        delivery.send(group("ana", account, {"stage": "VIP", "tags": ["beta", "Old Programme", "x"]}))
        await delivery.drain()
        notices = (await delivery.books())["notices"]
        options = "New Customer, Kicked Off, Launched, Adopting, Will Churn, Churn"
        assert notices["option_unknown"] == {
            f"Company.Stage (takes: {options})": 1,
            "Company.Tags (takes: Reference, Beta, At Risk)": 1,
        }
        (row,) = [row for row in await delivery.rows("company") if row["SfdcAccountId"] == account]
        assert row["Stage"] == before["Stage"]
        assert len(row["Tags"]) == 1


async def test_check_names_required_fields_that_nobody_fills(tmp_path: Path) -> None:
    """A required field without a value would refuse every new row, which `check` says before the first of them."""
    async with delivery_at_sandbox(tmp_path, eventFields={"plan": "Plan__gc"}) as delivery:
        for name in ("Region__gc", "Plan__gc"):
            await delivery.sandbox.control("PUT", f"schema/{EVENTS}/fields/{name}", {"required": True})
        destination = delivery.destination
        assert isinstance(destination, GainsightDestination)
        report = await check_tenant(destination.settings, delivery.worker._calls)
        assert not report.ok
        (finding,) = report.findings
        assert (finding.object, finding.field) == (EVENTS, "Region__gc")
        assert "make it optional there, or map something to it" in finding.what_to_do
