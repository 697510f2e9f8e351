"""Builds the calls to Gainsight. Pure: from drafts and remote ids to `Call`s."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gainsight_destination.destinations.contract import Call, Draft, Reference
from gainsight_destination.destinations.gainsight.placement import COMPANY
from gainsight_destination.destinations.gainsight.projection import ACCOUNT, PERSON_EMAIL
from gainsight_destination.destinations.gainsight.settings import GainsightSettings

OBJECTS_PATH: Final = "/v1/data/objects"
QUERY_PATH: Final = "/v1/data/objects/query"
METADATA_PATH: Final = "/v1/meta/services/objects"
COMPANY_OBJECT: Final = "Company"
PERSON_OBJECT: Final = "person"

MAX_RECORDS: Final = 50
"""Gainsight documents 50 records for an insert, an update and an asynchronous people request."""
QUERY_ROWS: Final = 5_000

RemoteIds = Mapping[Reference, str | None]


def describe(object_name: str) -> Call:
    return Call("GET", f"{METADATA_PATH}/{object_name}/describe", query=(("idd", "true"),))


def find_by(object_name: str, field: str, values: Sequence[str]) -> Call:
    """Query the GSIDs of the rows whose field has one of the values."""
    return Call(
        "POST",
        f"{QUERY_PATH}/{object_name}",
        {
            "select": ["Gsid", field],
            "where": {
                "conditions": [{"name": field, "alias": "A", "operator": "IN", "value": list(values)}],
                "expression": "A",
            },
            "orderBy": {"Gsid": "asc"},
            "limit": QUERY_ROWS,
            "offset": 0,
        },
    )


def list_all(object_name: str, field: str) -> Call:
    """The GSIDs of all rows with one of their fields, as many as one call gives."""
    body = {"select": ["Gsid", field], "orderBy": {"Gsid": "asc"}, "limit": QUERY_ROWS, "offset": 0}
    return Call("POST", f"{QUERY_PATH}/{object_name}", body)


def update_companies(drafts: Sequence[Draft], remote_ids: RemoteIds) -> Call:
    records = [{"Gsid": remote_ids[draft.references[0]], **draft.fields} for draft in drafts]
    return Call("PUT", f"{OBJECTS_PATH}/{COMPANY_OBJECT}", {"records": records}, (("keys", "Gsid"),))


def insert_companies(drafts: Sequence[Draft], settings: GainsightSettings) -> Call:
    records = [{"Name": draft.name, **draft.fields, settings.account_field: draft.name} for draft in drafts]
    return Call("POST", f"{OBJECTS_PATH}/{COMPANY_OBJECT}", {"records": records}, inserts=True)


def person_body(draft: Draft, remote_ids: RemoteIds) -> dict[str, Any]:
    """One person with the companies that Gainsight has."""
    body = {name: value for name, value in draft.fields.items() if name != "companies"}
    companies = [
        {"Company_ID": gsid, **{name: value for name, value in link.items() if name != ACCOUNT}}
        for link in draft.fields["companies"]
        if (gsid := remote_ids.get(Reference(COMPANY, link[ACCOUNT]))) is not None
    ]
    return body | ({"companies": companies} if companies else {})


def upsert_person(draft: Draft, remote_ids: RemoteIds, settings: GainsightSettings) -> Call:
    return Call("PUT", settings.people_path, person_body(draft, remote_ids))


def upsert_people(drafts: Sequence[Draft], remote_ids: RemoteIds, settings: GainsightSettings) -> Call:
    records = [person_body(draft, remote_ids) for draft in drafts]
    return Call("PUT", f"{settings.people_path}/async", {"records": records})


def people_status(status_id: str, settings: GainsightSettings) -> Call:
    return Call("GET", f"{settings.people_path}/async/{status_id}")


def row(draft: Draft, remote_ids: RemoteIds) -> dict[str, Any]:
    """A row of a custom object with the id of its Company; Gainsight looks its Person up by e-mail."""
    companies = [reference for reference in draft.references if reference.object == COMPANY]
    lookup = {"Company_Id__gc": remote_ids.get(companies[0])} if companies else {}
    return {**draft.fields, **lookup}


def write_rows(object_name: str, key_field: str, rows: Sequence[Mapping[str, Any]], *, update: bool) -> Call:
    """Insert rows, or update them by their key; a Person that is not there leaves the lookup empty."""
    body: dict[str, Any] = {"records": list(rows)}
    if any(PERSON_EMAIL in row for row in rows):
        body["lookups"] = {
            "Person_Id__gc": {
                "fields": {PERSON_EMAIL: "Email"},
                "lookupField": "Gsid",
                "objectName": PERSON_OBJECT,
                "multiMatchOption": "FIRSTMATCH",
                "onNoMatch": "NULLABLE",
            }
        }
    if update:
        return Call("PUT", f"{OBJECTS_PATH}/{object_name}", body, (("keys", key_field),))
    return Call("POST", f"{OBJECTS_PATH}/{object_name}", body, inserts=True)
