"""The sandbox describes its objects as Gainsight's metadata API does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox, running_sandbox

META = "/v1/meta/services"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(tmp_path / "sandbox.db") as running:
        yield running


async def described(api: httpx.AsyncClient, name: str) -> dict[str, dict[str, Any]]:
    answer = await api.get(f"{META}/objects/{name}/describe", params={"idd": "true"})
    assert answer.status_code == 200
    return {field["fieldName"]: field for field in answer.json()["data"]["fields"]}


async def test_objects_are_listed_in_lower_case(api: httpx.AsyncClient) -> None:
    """Both list calls give the same; a writable Low Volume object is transactional and createable."""
    first = (await api.get(f"{META}/objects/list", params={"po": "company", "em": "false"})).json()["data"]
    second = (await api.post(f"{META}/objects/", json={"externalUse": "true"})).json()["data"]
    assert first == second
    listed = {one["objectName"]: one for one in first}
    assert {"company", "person", "company_person", "gsuser", "segment_event__gc"} <= set(listed)
    events = listed["segment_event__gc"]
    assert (events["objectType"], events["transactional"], events["createable"]) == ("CUSTOM", True, True)
    assert len(events["keyPrefix"]) == 18


async def test_a_high_volume_object_shows_that_it_is_one(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Neither transactional nor createable."""
    await sandbox.control("PUT", "schema/Big__gc", {"volume": "high", "fields": [{"name": "A__gc"}]})
    answer = await api.get(f"{META}/objects/big__gc/describe")
    assert (answer.json()["data"]["transactional"], answer.json()["data"]["createable"]) == (False, False)


async def test_fields_tell_what_may_be_written(api: httpx.AsyncClient) -> None:
    """Type, length, whether a value is needed, and whether the system keeps it to itself."""
    fields = await described(api, "Company")
    assert fields["SfdcAccountId"]["dataType"] == "SFDCID"
    assert fields["Name"]["meta"]["required"] is True
    assert fields["Name"]["meta"]["nillable"] is False
    assert fields["Name"]["meta"]["length"] == 255
    assert fields["Gsid"]["meta"]["readOnly"] is True
    assert fields["Gsid"]["meta"]["fieldGroupType"] == "SYSTEM"
    assert fields["ManagedAs"]["meta"]["updateable"] is False


async def test_the_fields_of_the_usage_objects(api: httpx.AsyncClient) -> None:
    """Both custom objects have the fields that the destination writes, with their types."""
    events = {name: field["dataType"] for name, field in (await described(api, "Segment_Event__gc")).items()}
    usage = {name: field["dataType"] for name, field in (await described(api, "Segment_Usage_Daily__gc")).items()}
    assert events["Event_Time__gc"] == usage["First_At__gc"] == usage["Last_At__gc"] == "DATETIME"
    assert usage["Usage_Date__gc"] == "DATE"
    assert usage["Event_Count__gc"] == "NUMBER"
    for fields, key in ((events, "Message_Id__gc"), (usage, "Usage_Key__gc")):
        assert fields[key] == "STRING"
        assert fields["Company_Id__gc"] == fields["Person_Id__gc"] == "LOOKUP"


async def test_a_lookup_names_its_relation(api: httpx.AsyncClient) -> None:
    """`X__gr` is the name that dot paths use."""
    lookup = (await described(api, "Segment_Event__gc"))["Company_Id__gc"]["meta"]["lookupDetail"]
    assert lookup == {
        "lookupName": "Company_Id__gr",
        "fieldName": "Gsid",
        "lookupObjects": [{"objectName": "company"}],
    }


async def test_picklist_items_are_the_same_in_describe_and_dropdown(api: httpx.AsyncClient) -> None:
    """The category of a field leads to its items, with the GSIDs that queries give."""
    tags = (await described(api, "company"))["Tags"]
    category = tags["meta"]["properties"]["PICKLIST_CATEGORY_ID"]
    dropdown = (await api.get(f"{META}/dropdowns/{category}")).json()["data"]
    assert [(item["name"], item["gsid"], item["active"]) for item in dropdown["childItems"]] == [
        (option["label"], option["value"], option["active"]) for option in tags["options"]
    ]
    assert {item["active"] for item in dropdown["childItems"]} == {True, False}
    assert (await api.get(f"{META}/dropdowns/nothing")).status_code == 400


async def test_several_objects_in_one_call(api: httpx.AsyncClient) -> None:
    """In the order asked for."""
    answer = await api.post(f"{META}/objects/describe", json={"objectNames": ["person", "company"]})
    assert [one["objectName"] for one in answer.json()["data"]] == ["person", "company"]
    assert (await api.post(f"{META}/objects/describe", json={"objectNames": "person"})).status_code == 400


async def test_an_unknown_object_has_an_answer_of_its_own(api: httpx.AsyncClient) -> None:
    """400 with OBJECT_NOT_FOUND as its title, and no errorCode."""
    for answer in (
        await api.get(f"{META}/objects/Nothing__gc/describe"),
        await api.post("/v1/data/objects/query/Nothing__gc", json={"select": ["Gsid"]}),
    ):
        assert answer.status_code == 400
        assert answer.json()["title"] == "OBJECT_NOT_FOUND"
        assert "errorCode" not in answer.json()
