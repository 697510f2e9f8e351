"""What the pages show of rows: values for people, with the names of the rows that lookups lead to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

from gainsight_destination.sandbox.calls import LoggedCall
from gainsight_destination.sandbox.dates import readable
from gainsight_destination.sandbox.rows import Record, row_by_gsid, rows_matching
from gainsight_destination.sandbox.schema import SYSTEM_FIELDS, Field, Object, find_object
from gainsight_destination.sandbox.tenant import Tenant

Reader = Callable[[Tenant, Request], dict[str, Any]]
SHORT_TEXT = 32
SYSTEM_NAMES = frozenset(field.name for field in SYSTEM_FIELDS)


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as text; `title` is the raw value when the text is another."""

    text: str
    title: str = ""
    kind: str = "short"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one object, without the columns in which no row has a value."""

    columns: tuple[Field, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class ShownPerson:
    """A person with links: (company name, title, role)."""

    record: Record
    companies: tuple[tuple[str, str, str], ...]


def plural(label: str, count: int) -> str:
    """What so many of a thing are called."""
    if count == 1 or label.endswith("Daily"):  # no noun
        return label
    if label.endswith("Person"):
        return f"{label.removesuffix('Person')}People"
    return f"{label[:-1]}ies" if label[-1:] == "y" and label[-2:-1] not in "aeiou" else f"{label}s"


def record_count(call: LoggedCall) -> int | None:
    """How many records a call sent; those that it read when it sent none; None when it is about no records."""
    sent = _decoded(call.request_body)
    if isinstance(sent, list):
        return len(sent)
    if isinstance(sent, dict):
        for name in ("records", "people"):
            if isinstance(sent.get(name), list):
                return len(sent[name])
        if call.method == "PUT":
            return 1  # one person
    answered = _decoded(call.response_body)
    found = answered.get("data") if isinstance(answered, dict) else None
    records = found.get("records") if isinstance(found, dict) else None
    return len(records) if isinstance(records, list) else None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):  # empty, no JSON, or longer than what is kept of it
        return None


def newest_rows(tenant: Tenant, target: Object, *, offset: int, limit: int) -> tuple[list[Record], bool]:
    """Rows from the newest on, and whether older ones follow."""
    found = tenant.connection.execute(
        "SELECT record FROM rows WHERE object = ? ORDER BY id DESC LIMIT ? OFFSET ?", (target.name, limit + 1, offset)
    ).fetchall()
    return [msgspec.json.decode(text) for (text,) in found[:limit]], len(found) > limit


def shown_rows(tenant: Tenant, target: Object, *, offset: int, limit: int) -> tuple[Table, bool]:
    """A page of an object's rows."""
    rows, more = newest_rows(tenant, target, offset=offset, limit=limit)
    columns = tuple(
        field
        for field in target.fields
        if field.name not in SYSTEM_NAMES and any(row.get(field.name) is not None for row in rows)
    )
    columns += tuple(field for field in target.fields if field.name in ("ModifiedDate", "Gsid"))
    names: dict[str, str] = {}
    cells = tuple(tuple(cell(tenant, target, field, row, names) for field in columns) for row in rows)
    return Table(columns, cells), more


def people_with_companies(tenant: Tenant, target: Object, *, offset: int, limit: int) -> tuple[list[ShownPerson], bool]:
    """A page of people, each with its companies."""
    rows, more = newest_rows(tenant, target, offset=offset, limit=limit)
    links = find_object(tenant, "company_person")
    names: dict[str, str] = {}
    people = []
    for row in rows:
        found = [] if links is None else rows_matching(tenant, links, {"Person_ID": row["Gsid"]})
        people.append(ShownPerson(row, tuple(_company(tenant, link, names) for link in found)))
    return people, more


def cell(tenant: Tenant, target: Object, field: Field, row: Mapping[str, Any], names: dict[str, str]) -> Cell:
    """One value. `names` remembers what GSIDs are called."""
    value = row.get(field.name)
    if value is None:
        return Cell("", kind="empty")
    if field.lookup is not None:
        return Cell(_name(tenant, field.lookup, value, names), value)
    match field.data_type:
        case "DATETIME":
            return Cell(readable(value), str(value), "date")
        case "DATE":
            return Cell(readable(value)[:10], str(value), "date")
        case "NUMBER" | "CURRENCY" | "PERCENTAGE" | "JSONNUMBER":
            return Cell(f"{value:,}", str(value), "number")
        case "GSID":
            return Cell(value, value, "id")
        case "PICKLIST" | "MULTISELECTDROPDOWNLIST":
            return Cell(_labels(target, field, value), str(value))
    return Cell(str(value), kind="short" if len(str(value)) <= SHORT_TEXT else "long")


def _labels(target: Object, field: Field, value: Any) -> str:
    category = target.category(field)
    labels = {option.gsid(category): option.label for option in field.options}
    items = value if isinstance(value, list) else [value]
    return ", ".join(labels.get(item, str(item)) for item in items)


def _company(tenant: Tenant, link: Record, names: dict[str, str]) -> tuple[str, str, str]:
    return _name(tenant, "Company", link["Company_ID"], names), link.get("Title") or "", link.get("Role") or ""


def _name(tenant: Tenant, object_name: str, gsid: str, names: dict[str, str]) -> str:
    """What a row is called: its name, else its e-mail address, else its GSID."""
    if gsid not in names:
        row = row_by_gsid(tenant, object_name, gsid) or {}
        names[gsid] = str(row.get("Name") or row.get("Email") or gsid)
    return names[gsid]
