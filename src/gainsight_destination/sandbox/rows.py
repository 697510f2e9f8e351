"""Rows of objects in the tenant's file: written, found by value, read.

A row is a JSON object of field -> stored value: dates are milliseconds, picklist values are item GSIDs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gainsight_destination.sandbox.identifiers import new_gsid
from gainsight_destination.sandbox.schema import Field, Object
from gainsight_destination.sandbox.tenant import Tenant

Record = dict[str, Any]
PAGE: Final = 1_000


def insert_row(tenant: Tenant, target: Object, values: Mapping[str, Any]) -> Record:
    """Add a row with its system fields; return it."""
    record: Record = {
        "Gsid": new_gsid(tenant.connection, target.key_prefix),
        "CreatedDate": tenant.now_ms,
        "ModifiedDate": tenant.now_ms,
        **values,
    }
    cursor = tenant.connection.execute(
        "INSERT INTO rows (gsid, object, record) VALUES (?, ?, ?)", (record["Gsid"], target.name, _text(record))
    )
    _index(tenant, target, cursor.lastrowid or 0, record, target.fields)
    return record


def update_row(tenant: Tenant, target: Object, gsid: str, values: Mapping[str, Any]) -> Record:
    """Change the given fields of a row that exists; the others stay. Return the row."""
    row_id, text = tenant.connection.execute("SELECT id, record FROM rows WHERE gsid = ?", (gsid,)).fetchone()
    record: Record = {**msgspec.json.decode(text), **values, "ModifiedDate": tenant.now_ms}
    tenant.connection.execute("UPDATE rows SET record = ? WHERE id = ?", (_text(record), row_id))
    changed = [field for field in target.fields if field.name in values and field.indexed]
    tenant.connection.executemany(
        "DELETE FROM row_keys WHERE row_id = ? AND field = ?", [(row_id, field.name) for field in changed]
    )
    _index(tenant, target, row_id, record, changed)
    return record


def delete_row(tenant: Tenant, gsid: str) -> None:
    tenant.connection.execute("DELETE FROM rows WHERE gsid = ?", (gsid,))


def row_by_gsid(tenant: Tenant, object_name: str, gsid: str) -> Record | None:
    """The row of this object with this GSID."""
    row = tenant.connection.execute(
        "SELECT record FROM rows WHERE gsid = ? AND object = ?", (gsid, object_name)
    ).fetchone()
    return None if row is None else msgspec.json.decode(row[0])


def rows_of(tenant: Tenant, object_name: str) -> Iterator[Record]:
    """Every row of an object, in the order of insertion."""
    last = 0
    while True:
        page = tenant.connection.execute(
            "SELECT id, record FROM rows WHERE object = ? AND id > ? ORDER BY id LIMIT ?", (object_name, last, PAGE)
        ).fetchall()
        for last, text in page:  # noqa: B007 - `last` is where the next page begins
            yield msgspec.json.decode(text)
        if len(page) < PAGE:
            return


def count_rows(tenant: Tenant, object_name: str) -> int:
    (count,) = tenant.connection.execute("SELECT COUNT(*) FROM rows WHERE object = ?", (object_name,)).fetchone()
    return int(count)


def rows_with(tenant: Tenant, target: Object, field: Field, values: Sequence[Any]) -> Iterator[Record]:
    """Rows whose field equals one of the values, in the order of insertion."""
    wanted = {comparable(field, value) for value in values if value is not None}
    if not field.indexed:
        yield from (row for row in rows_of(tenant, target.name) if comparable(field, row.get(field.name)) in wanted)
        return
    found: dict[int, str] = {}
    for value in wanted:
        found.update(
            tenant.connection.execute(
                "SELECT rows.id, rows.record FROM row_keys JOIN rows ON rows.id = row_keys.row_id"
                " WHERE row_keys.object = ? AND row_keys.field = ? AND row_keys.value = ?",
                (target.name, field.name, value),
            )
        )
    for row_id in sorted(found):
        yield msgspec.json.decode(found[row_id])


def rows_matching(tenant: Tenant, target: Object, wanted: Mapping[str, Any]) -> list[Record]:
    """Rows that equal every wanted value; null equals nothing. All the fields exist."""
    fields = {name: target.field(name) for name in wanted}
    first, *rest = sorted(fields, key=lambda name: not (fields[name] and fields[name].indexed))  # type: ignore[union-attr]
    leading = fields[first]
    assert leading is not None
    return [
        row
        for row in rows_with(tenant, target, leading, [wanted[first]])
        if all(_equal(fields[name], row.get(name), wanted[name]) for name in rest)
    ]


def comparable(field: Field, value: Any) -> str | None:
    """The text by which two values of a field are the same; e-mail addresses differ in case without being different."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.casefold() if field.data_type == "EMAIL" else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value).decode()


def index_again(tenant: Tenant, target: Object) -> None:
    """Find rows by value again after the fields of their object changed."""
    tenant.connection.execute("DELETE FROM row_keys WHERE object = ?", (target.name,))
    rows = tenant.connection.execute("SELECT id, record FROM rows WHERE object = ?", (target.name,)).fetchall()
    for row_id, text in rows:
        _index(tenant, target, row_id, msgspec.json.decode(text), target.fields)


def _equal(field: Field | None, left: Any, right: Any) -> bool:
    return field is not None and right is not None and comparable(field, left) == comparable(field, right)


def _index(tenant: Tenant, target: Object, row_id: int, record: Record, fields: Sequence[Field]) -> None:
    tenant.connection.executemany(
        "INSERT OR IGNORE INTO row_keys VALUES (?, ?, ?, ?)",
        [
            (target.name, field.name, comparable(field, record[field.name]), row_id)
            for field in fields
            if field.indexed and record.get(field.name) is not None
        ],
    )


def _text(record: Mapping[str, Any]) -> str:
    return msgspec.json.encode(record).decode()
