"""The sandbox's object API answers inserts, updates, reads and deletes as Gainsight documents them."""

from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.testing import RunningSandbox
from gainsight_destination.testing import START_MS, ManualClock

COMPANIES = "/v1/data/objects/Company"
EVENTS = "/v1/data/objects/Segment_Event__gc"


async def insert(api: httpx.AsyncClient, path: str, *records: dict[str, Any], **body: Any) -> httpx.Response:
    return await api.post(path, json={"records": list(records), **body})


async def companies(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return await sandbox.rows("Company")


async def test_a_fresh_tenant_has_companies_and_no_people(sandbox: RunningSandbox) -> None:
    """Twelve Companies with Salesforce ids, one of them stored with 15 characters; no person."""
    rows = await companies(sandbox)
    assert len(rows) == 12
    assert sorted({len(row["SfdcAccountId"]) for row in rows}) == [15, 18]
    assert {"0015000000abcDEAAY", "001A0000006Vm9rIAC", "001A0000006VM9rIAG"} <= {row["SfdcAccountId"] for row in rows}
    assert await sandbox.rows("person") == []


async def test_an_insert_answers_with_the_gsid_and_the_fields_sent(api: httpx.AsyncClient) -> None:
    """The envelope holds one record per record sent, in order, each with a 36-character Gsid."""
    answer = await insert(api, COMPANIES, {"Name": "One"}, {"Name": "Two", "Employees": 3})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["result"], body["errorCode"], body["data"]["count"], body["data"]["errors"]) == (True, None, 2, None)
    first, second = body["data"]["records"]
    assert (first["Name"], second["Name"], second["Employees"]) == ("One", "Two", 3)
    assert first["Gsid"] != second["Gsid"]
    assert len(first["Gsid"]) == 36
    assert first["Gsid"].startswith("1P02")
    assert answer.headers["x-gs-request-id"] == body["requestId"]


async def test_an_insert_does_not_look_for_a_row_like_it(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """The same record twice is two rows, unless the switch names a unique field."""
    for _ in range(2):
        assert (await insert(api, EVENTS, {"Message_Id__gc": "m-1"})).status_code == 200
    assert len(await sandbox.rows("Segment_Event__gc")) == 2
    await sandbox.control("PUT", "switches", {"unique_fields": {"Segment_Event__gc": ["Message_Id__gc"]}})
    refused = await insert(api, EVENTS, {"Message_Id__gc": "m-1"})
    assert refused.status_code == 400
    assert len(await sandbox.rows("Segment_Event__gc")) == 2


@pytest.mark.parametrize(
    ("record", "code", "field"),
    [
        ({"Name": "x" * 256}, "GSOBJ_1001", "Name"),
        ({"Name": "x", "Nonsense": 1}, "GSOBJ_1002", "Nonsense"),
        ({"Name": "x", "Employees": "many"}, "GSOBJ_1002", "Employees"),
        ({"Name": "x", "Gsid": "A" * 36}, "GSOBJ_1002", "Gsid"),
        ({"Name": "x", "RenewalDate": 210318}, "GSOBJ_1006", "RenewalDate"),
        ({"Name": "x", "RenewalDate": "2026-02-30"}, "GSOBJ_1006", "RenewalDate"),
        ({"Name": None}, "GSOBJ_1007", "Name"),
        ({"Industry": "None"}, "GSOBJ_1007", "Name"),
        ({"Name": "x", "Stage": "xyz"}, "GSOBJ_1012", "Stage"),
        ({"Name": "x", "Tags": ["Old Programme"]}, "GSOBJ_1012", "Tags"),
        ({"Name": "x", "Csm": "not a gsid"}, "GSOBJ_1002", "Csm"),
        ({"Name": "x", "ParentCompany": "1P02" + "A" * 32}, "GSOBJ_1002", "ParentCompany"),
    ],
)
async def test_a_value_that_does_not_fit_is_refused(
    api: httpx.AsyncClient, record: dict[str, Any], code: str, field: str
) -> None:
    """Each kind of misfit has Gainsight's code, and names its field."""
    answer = await insert(api, COMPANIES, record)
    assert answer.status_code == 400
    body = answer.json()
    assert (body["result"], body["errorCode"], body["data"]["records"]) == (False, code, None)
    ((entry,),) = body["data"]["errors"]
    assert entry["errors"][0]["fieldName"] == field
    assert entry["errors"][0]["errorCode"] == code


@pytest.mark.parametrize(
    ("value", "stored_ms"),
    [
        ("2026-01-01T00:00:00Z", START_MS),
        ("2026-01-01T00:00:00.250Z", START_MS + 250),
        ("2026-01-01T01:00:00.000+0100", START_MS),
        ("2025-12-31T16:00:00-08:00", START_MS),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01 00:00:00Z", None),
        ("2026-01-01", None),
        (START_MS, None),
        ("2026-13-01T00:00:00Z", None),
    ],
)
async def test_a_datetime_needs_an_offset(
    api: httpx.AsyncClient, sandbox: RunningSandbox, value: object, stored_ms: int | None
) -> None:
    """A DATETIME is ISO-8601 with an offset; anything else is GSOBJ_1005."""
    answer = await insert(api, EVENTS, {"Event_Time__gc": value})
    if stored_ms is None:
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1005")
    else:
        (row,) = await sandbox.rows("Segment_Event__gc")
        assert row["Event_Time__gc"] == stored_ms


async def test_one_bad_record_spoils_its_batch(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """A batch is written whole or not at all; its errors stand at the places of the bad records."""
    answer = await insert(api, COMPANIES, {"Name": "Good"}, {"Name": "Bad", "Stage": "xyz"}, {"Name": "Fine"})
    assert answer.status_code == 400
    data = answer.json()["data"]
    assert (data["count"], data["records"], [len(entry) for entry in data["errors"]]) == (0, None, [0, 1, 0])
    assert answer.json()["errorDesc"] == "Invalid/Inactive value provided for picklist. (Stage = xyz)."
    assert len(await companies(sandbox)) == 12


async def test_a_batch_may_be_partial_when_switched(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """With `bad_record: partial` the good records are written and the answer is 200 with errors."""
    await sandbox.control("PUT", "switches", {"bad_record": "partial"})
    answer = await insert(api, COMPANIES, {"Name": "Good"}, {"Name": "Bad", "Stage": "xyz"})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["count"] == 1
    assert [len(entry) for entry in data["errors"]] == [0, 1]
    assert len(await companies(sandbox)) == 13


async def test_errors_may_be_flat_when_switched(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """With `error_nesting: flat` only the bad records are listed, without inner lists."""
    await sandbox.control("PUT", "switches", {"error_nesting": "flat"})
    answer = await insert(api, COMPANIES, {"Name": "Good"}, {"Name": "Bad", "Stage": "xyz"})
    (entry,) = answer.json()["data"]["errors"]
    assert entry["errors"][0]["fieldName"] == "Stage"


async def test_unknown_fields_may_be_ignored_when_switched(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """With `unknown_field: ignore` a field that is not there is left out without a word."""
    await sandbox.control("PUT", "switches", {"unknown_field": "ignore"})
    assert (await insert(api, COMPANIES, {"Name": "Good", "Nonsense": 1})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"records": []},
        {"records": [{"Name": "x"}] * 51},
        {"records": ["x"]},
        {"records": {"Name": "x"}},
        {},
        [],
    ],
)
async def test_a_malformed_batch_is_refused(api: httpx.AsyncClient, body: object) -> None:
    """No records, more than 50, or what is no list of objects is 400."""
    assert (await api.post(COMPANIES, json=body)).status_code == 400


async def test_an_update_by_gsid_changes_only_what_it_names(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """`?keys=Gsid` changes the fields sent; the others stay; null clears."""
    before = (await companies(sandbox))[0]
    record = {"Gsid": before["Gsid"], "Employees": 7, "Industry": None}
    answer = await api.put(COMPANIES, params={"keys": "Gsid"}, json={"records": [record]})
    assert answer.status_code == 200
    assert answer.json()["data"]["records"][0]["Gsid"] == before["Gsid"]
    after = (await companies(sandbox))[0]
    assert (after["Employees"], after["Industry"], after["Name"]) == (7, None, before["Name"])


async def test_an_update_without_a_match_refuses_the_batch(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """GSOBJ_1011, and nothing of the batch is written; the switch skips the record instead."""
    await insert(api, EVENTS, {"Message_Id__gc": "m-1"})
    records = [{"Message_Id__gc": "m-1", "User_Id__gc": "u"}, {"Message_Id__gc": "none", "User_Id__gc": "u"}]
    answer = await api.put(EVENTS, params={"keys": "Message_Id__gc"}, json={"records": records})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1011")
    assert (await sandbox.rows("Segment_Event__gc"))[0]["User_Id__gc"] is None
    await sandbox.control("PUT", "switches", {"update_without_match": "skip"})
    answer = await api.put(EVENTS, params={"keys": "Message_Id__gc"}, json={"records": records})
    assert answer.status_code == 200
    assert (await sandbox.rows("Segment_Event__gc"))[0]["User_Id__gc"] == "u"


async def test_an_update_with_several_matches_changes_all(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """All rows with the key change, unless the switch refuses."""
    await insert(api, EVENTS, {"Message_Id__gc": "m-1"}, {"Message_Id__gc": "m-1"})
    body = {"records": [{"Message_Id__gc": "m-1", "User_Id__gc": "u"}]}
    assert (await api.put(EVENTS, params={"keys": "Message_Id__gc"}, json=body)).status_code == 200
    assert [row["User_Id__gc"] for row in await sandbox.rows("Segment_Event__gc")] == ["u", "u"]
    await sandbox.control("PUT", "switches", {"update_with_several_matches": "refuse"})
    assert (await api.put(EVENTS, params={"keys": "Message_Id__gc"}, json=body)).status_code == 400


async def test_several_keys_must_all_match(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Keys are ANDed."""
    await insert(
        api,
        EVENTS,
        {"Message_Id__gc": "m", "User_Id__gc": "a"},
        {"Message_Id__gc": "m", "User_Id__gc": "b"},
    )
    record = {"Message_Id__gc": "m", "User_Id__gc": "b", "Event_Name__gc": "changed"}
    answer = await api.put(EVENTS, params={"keys": "Message_Id__gc,User_Id__gc"}, json={"records": [record]})
    assert answer.status_code == 200
    assert [row["Event_Name__gc"] for row in await sandbox.rows("Segment_Event__gc")] == [None, "changed"]


@pytest.mark.parametrize(
    "keys", ["", "Message_Id__gc,User_Id__gc,Event_Name__gc,Account_Id__gc", "Event_Time__gc", "Company_Id__gc", "Nope"]
)
async def test_keys_are_one_to_three_fields_of_key_types(api: httpx.AsyncClient, keys: str) -> None:
    """No key, more than three, a lookup, a date or an unknown field is refused."""
    body = {"records": [{"Message_Id__gc": "m"}]}
    assert (await api.put(EVENTS, params={"keys": keys}, json=body)).status_code == 400


async def test_a_salesforce_id_is_no_key_unless_switched(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """SFDCID is not among Gainsight's documented key types; the switch allows it."""
    row = (await companies(sandbox))[0]
    body = {"records": [{"SfdcAccountId": row["SfdcAccountId"], "Employees": 1}]}
    assert (await api.put(COMPANIES, params={"keys": "SfdcAccountId"}, json=body)).status_code == 400
    await sandbox.control("PUT", "switches", {"sfdc_id_as_key": "allow"})
    assert (await api.put(COMPANIES, params={"keys": "SfdcAccountId"}, json=body)).status_code == 200


async def test_read_one_and_delete(api: httpx.AsyncClient, sandbox: RunningSandbox, clock: ManualClock) -> None:
    """A row is read by its Gsid; once deleted it is gone, and stands in the delete log for 15 days."""
    gsid = (await companies(sandbox))[0]["Gsid"]
    (row,) = (await api.get(f"{COMPANIES}/{gsid}")).json()["data"]["records"]
    assert row["Name"] == "Northwind Traders"
    assert (await api.delete(f"{COMPANIES}/{gsid}")).status_code == 200
    assert (await api.get(f"{COMPANIES}/{gsid}")).json()["errorCode"] == "GSOBJ_1011"
    assert (await api.delete(f"{COMPANIES}/{gsid}")).json()["errorCode"] == "GSOBJ_1004"
    assert (await api.delete(f"{COMPANIES}/short")).json()["errorCode"] == "GSOBJ_1004"
    log = "/v1/data/objects/query/record_delete_log"
    select = {"select": ["RecordId", "ObjectName"]}
    assert (await api.post(log, json=select)).json()["data"]["records"] == [{"RecordId": gsid, "ObjectName": "company"}]
    clock.advance(15 * 86_400 + 1)
    assert (await api.post(log, json=select)).json()["data"]["records"] == []


@pytest.mark.parametrize("name", ["person", "company_person", "gsuser"])
async def test_other_standard_objects_take_no_object_writes(api: httpx.AsyncClient, name: str) -> None:
    """People are written through the People API, users not at all: GSOBJ_1023."""
    answer = await insert(api, f"/v1/data/objects/{name}", {"Name": "x"})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1023")


async def test_an_unknown_object_and_an_unknown_path(api: httpx.AsyncClient) -> None:
    """OBJECT_NOT_FOUND has no errorCode; an unknown path is 404 GS_APIG_1000; a wrong method GSOBJ_1023."""
    answer = await insert(api, "/v1/data/objects/Nope__gc", {"Name": "x"})
    assert (answer.status_code, answer.json()["title"]) == (400, "OBJECT_NOT_FOUND")
    assert "errorCode" not in answer.json()
    answer = await api.get("/v1/nothing/here")
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "GS_APIG_1000")
    answer = await api.patch(COMPANIES, json={})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1023")


async def test_names_of_objects_are_found_in_any_case(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """`company` is `Company`, unless the switch is strict."""
    assert (await insert(api, "/v1/data/objects/company", {"Name": "x"})).status_code == 200
    await sandbox.control("PUT", "switches", {"object_names": "strict"})
    assert (await insert(api, "/v1/data/objects/company", {"Name": "x"})).status_code == 400
    assert (await insert(api, COMPANIES, {"Name": "x"})).status_code == 200


async def test_a_low_volume_object_holds_so_many_rows(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """Past the cap an insert is refused whole; updates still pass; null takes the cap off."""
    await sandbox.control("PUT", "switches", {"low_volume_cap": 2})
    assert (await insert(api, EVENTS, {"Message_Id__gc": "1"})).status_code == 200
    assert (await insert(api, EVENTS, {"Message_Id__gc": "2"}, {"Message_Id__gc": "3"})).status_code == 400
    assert (await insert(api, EVENTS, {"Message_Id__gc": "2"})).status_code == 200
    await sandbox.control("PUT", "switches", {"low_volume_cap": None})
    assert (await insert(api, EVENTS, {"Message_Id__gc": "3"})).status_code == 200


async def test_a_high_volume_object_takes_no_writes(api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
    """GSOBJ_1023, unless the switch allows it."""
    await sandbox.control("PUT", "schema/Big__gc", {"volume": "high", "fields": [{"name": "Text__gc"}]})
    answer = await insert(api, "/v1/data/objects/Big__gc", {"Text__gc": "x"})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "GSOBJ_1023")
    await sandbox.control("PUT", "switches", {"high_volume_writes": "allow"})
    assert (await insert(api, "/v1/data/objects/Big__gc", {"Text__gc": "x"})).status_code == 200


class TestLookups:
    """The `lookups` block fills a field with the Gsid of another row."""

    @staticmethod
    def block(**options: Any) -> dict[str, Any]:
        lookup = {
            "fields": {"acct": "SfdcAccountId"},
            "lookupField": "Gsid",
            "objectName": "company",
            "multiMatchOption": "MARKASERROR",
            "onNoMatch": "NULLABLE",
        }
        return {"Company_Id__gc": lookup | options}

    async def test_a_match_fills_the_target(self, api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
        """The helper key is consumed and the Gsid of the row found is stored."""
        company = (await companies(sandbox))[2]
        record = {"Message_Id__gc": "m", "acct": company["SfdcAccountId"]}
        answer = await insert(api, EVENTS, record, lookups=self.block())
        assert answer.json()["data"]["records"][0]["Company_Id__gc"] == company["Gsid"]
        assert (await sandbox.rows("Segment_Event__gc"))[0]["Company_Id__gc"] == company["Gsid"]

    async def test_the_case_of_a_salesforce_id_matters(self, api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
        """Two ids that differ in case are two accounts."""
        record = {"Message_Id__gc": "m", "acct": "001a0000006vm9rIAC"}
        await insert(api, EVENTS, record, lookups=self.block())
        assert (await sandbox.rows("Segment_Event__gc"))[0]["Company_Id__gc"] is None

    async def test_no_match_and_several_matches(self, api: httpx.AsyncClient, sandbox: RunningSandbox) -> None:
        """`onNoMatch` and `multiMatchOption` decide."""
        await insert(api, COMPANIES, *[{"Name": "Twin", "SfdcAccountId": "twin"}] * 2)
        nobody, twin = {"Message_Id__gc": "m", "acct": "nobody"}, {"Message_Id__gc": "m", "acct": "twin"}
        assert (await insert(api, EVENTS, nobody, lookups=self.block(onNoMatch="ERROR"))).status_code == 400
        assert (await insert(api, EVENTS, nobody, lookups=self.block())).status_code == 200
        assert (await insert(api, EVENTS, twin, lookups=self.block())).status_code == 400
        assert (await insert(api, EVENTS, twin, lookups=self.block(multiMatchOption="FIRSTMATCH"))).status_code == 200
        assert len(await sandbox.rows("Segment_Event__gc")) == 2

    @pytest.mark.parametrize(
        "options",
        [
            {"objectName": "nope"},
            {"fields": {}},
            {"fields": {"acct": "Nope"}},
            {"lookupField": "Nope"},
            {"onNoMatch": "PERHAPS"},
            {"unknown": 1},
        ],
    )
    async def test_a_lookup_that_cannot_work_is_refused(self, api: httpx.AsyncClient, options: dict[str, Any]) -> None:
        """A lookup is checked before any record is."""
        answer = await insert(api, EVENTS, {"Message_Id__gc": "m"}, lookups=self.block(**options))
        assert answer.status_code == 400
