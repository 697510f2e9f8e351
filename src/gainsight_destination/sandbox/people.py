"""People: upsert of one person, or of up to 50 in the background, with the companies that they belong to.

A person is found by `Email`, in any case. `companies[].Company_ID` takes the GSID of a Company that exists; the link is
added or changed, and other links of the person stay. The People service's own error codes are not published: those of
the object API are used.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.jobs import find_job, job_status, submit_job
from gainsight_destination.sandbox.objects import MAX_RECORDS
from gainsight_destination.sandbox.presentation import present_value
from gainsight_destination.sandbox.rows import Record, insert_row, rows_matching, update_row
from gainsight_destination.sandbox.schema import Object, get_object
from gainsight_destination.sandbox.tenant import Tenant
from gainsight_destination.sandbox.validate import RefusedRecordError, RefusedValueError, check_unique, check_values

PEOPLE: Final = "people"
NOTHING_YET: Final[Mapping[str, Any]] = {"count": {"success": 0, "failed": 0}, "records": [], "errors": []}


def ping(tenant: Tenant, call: Call) -> Reply:
    """`GET /v1.0/api/people` says that the key is good."""
    return Reply()


def upsert(tenant: Tenant, call: Call) -> Reply:
    """`PUT /v1/peoplemgmt/v1.0/people`, and the older `PUT /v1.0/api/people`."""
    try:
        return Reply(upsert_person(tenant, call.json_object()))
    except RefusedRecordError as error:
        first = error.errors[0]
        data = {"count": 0, "errors": [[error.entry()]], "records": None}
        raise RefusedError(400, first.code, first.text, data=data) from error


def submit(tenant: Tenant, call: Call) -> Reply:
    """`PUT .../people/async`: takes `{"records": [...]}`, `{"people": [...]}` or a bare list and gives a `statusId`."""
    body = call.json()
    people = body.get("records", body.get("people")) if isinstance(body, dict) else body
    if not isinstance(people, list) or not people:
        raise invalid("The request needs a list of people")
    if len(people) > MAX_RECORDS:
        raise invalid(f"The request has {len(people)} people; at most {MAX_RECORDS} are allowed")
    return Reply({"statusId": submit_job(tenant, PEOPLE, msgspec.json.encode(people))})


def status(tenant: Tenant, call: Call) -> Reply:
    """`GET .../people/async/{statusId}`: INIT, INPROGRESS, then COMPLETED with what became of each person."""
    job = find_job(tenant, PEOPLE, call.parameters["status"])
    result = NOTHING_YET if job.result is None else job.result
    return Reply({"statusId": job.status_id, "status": job_status(tenant, job, under_way="INPROGRESS"), **result})


def write_people(tenant: Tenant, payload: bytes) -> dict[str, Any]:
    """Do an asynchronous request. People are independent: one that is refused does not keep the others out.

    Successes and errors carry the person's row in the request, from 0 unless the switch `people_first_row` says 1.
    """
    written: list[Record] = []
    errors: list[Record] = []
    people = msgspec.json.decode(payload)
    for row, person in enumerate(people, start=tenant.switches.people_first_row):
        tenant.connection.execute("SAVEPOINT person")
        try:
            if not isinstance(person, dict):
                raise RefusedRecordError([RefusedValueError(answers.INVALID_FIELD, "Not a person", "", person)])
            written.append({"row": row, **upsert_person(tenant, person)})
        except RefusedRecordError as error:
            tenant.connection.execute("ROLLBACK TO person")
            errors += _row_errors(error, row)
        tenant.connection.execute("RELEASE person")
    count = {"success": len(written), "failed": len(people) - len(written)}
    return {"count": count, "records": written, "errors": errors}


def _row_errors(error: RefusedRecordError, row: int) -> list[Record]:
    return [
        {"row": row, "field": one.field, "value": one.value, "code": one.code, "message": one.text}
        for one in error.errors
    ]


def upsert_person(tenant: Tenant, person: Mapping[str, Any]) -> Record:
    """Write one person with its links; return what the answer shows. Raises RefusedRecordError."""
    target, links = get_object(tenant, "person"), get_object(tenant, "company_person")
    fields = {name: value for name, value in person.items() if name != "companies"}
    known = _person_with(tenant, target, fields.get("Email"))
    values = check_values(tenant, target, fields, inserting=known is None)
    if known is None:
        check_unique(tenant, target, values)
        row = insert_row(tenant, target, values)
    else:
        row = update_row(tenant, target, known["Gsid"], values)
    companies = [_link(tenant, links, row["Gsid"], company) for company in _companies(person.get("companies"))]
    return {"Gsid": row["Gsid"], "Email": row["Email"], "companies": companies}


def _person_with(tenant: Tenant, target: Object, email: Any) -> Record | None:
    if not isinstance(email, str):
        return None
    return next(iter(rows_matching(tenant, target, {"Email": email})), None)


def _companies(companies: Any) -> Sequence[Mapping[str, Any]]:
    if companies is None:
        return ()
    if isinstance(companies, list) and all(isinstance(company, dict) for company in companies):
        return companies
    message = "companies must be a list of objects"
    raise RefusedRecordError([RefusedValueError(answers.INVALID_FIELD, message, "companies", companies)])


def _link(tenant: Tenant, links: Object, person_gsid: str, company: Mapping[str, Any]) -> Record:
    record = {**company, "Person_ID": person_gsid}
    values = check_values(tenant, links, record, inserting=True)
    key = {name: values[name] for name in ("Person_ID", "Company_ID")}
    known = rows_matching(tenant, links, key)
    row = update_row(tenant, links, known[0]["Gsid"], values) if known else insert_row(tenant, links, values)
    return {
        field.name: present_value(tenant, field, row[field.name])
        for field in links.fields
        if field.name in ("Gsid", *company) or field.name == "Person_ID"
    }
