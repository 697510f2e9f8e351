"""Reads rows: `POST /v1/data/objects/query/{object}` with select, where, orderBy, limit and offset.

A dot path goes through lookups by their relation name, in any number of hops: `Company_ID__gr.csm__gr.Name`. Gainsight
documents at most 5,000 rows for a call. Names of fields are found in any case, as its own samples write them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.conditions import Condition, fold, read_condition
from gainsight_destination.sandbox.dates import DAY_MS
from gainsight_destination.sandbox.expression import Expression, parse_expression
from gainsight_destination.sandbox.presentation import present_value
from gainsight_destination.sandbox.rows import Record, row_by_gsid, rows_of, rows_with
from gainsight_destination.sandbox.schema import Field, Object, get_object
from gainsight_destination.sandbox.standard import DELETE_LOG
from gainsight_destination.sandbox.tenant import Tenant

MAX_ROWS: Final = 5_000
DEFAULT_ROWS: Final = 1_000
MAX_HOPS: Final = 5
DELETE_LOG_DAYS: Final = 15


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the object, or of one that its lookups lead to."""

    hops: tuple[tuple[Field, Object], ...]
    owner: Object
    field: Field

    def value(self, tenant: Tenant, row: Record, seen: dict[str, Record | None]) -> Any:
        """The stored value; null when a lookup on the way is empty. `seen` spares reading a row twice."""
        current: Record | None = row
        for lookup, target in self.hops:
            gsid = None if current is None else current.get(lookup.name)
            if gsid is None:
                return None
            if gsid not in seen:
                seen[gsid] = row_by_gsid(tenant, target.name, gsid)
            current = seen[gsid]
        return None if current is None else current.get(self.field.name)


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions of a query by alias, and how they combine."""

    conditions: Mapping[str, tuple[Path, Condition]]
    expression: Expression

    def holds(self, value: Callable[[Path], Any]) -> bool:
        def condition(alias: str) -> bool:
            path, test = self.conditions[alias]
            return test.holds(value(path))

        return self.expression.holds(condition)

    def candidates(self, tenant: Tenant, target: Object) -> Iterable[Record]:
        """The rows worth testing: found by an indexed value if some EQ or IN must hold, else all."""
        for alias in self.expression.certain():
            path, test = self.conditions[alias]
            if not path.hops and path.field.indexed and test.operator in ("EQ", "IN"):
                return rows_with(tenant, target, path.field, test.values)
        return rows_of(tenant, target.name)


def query(tenant: Tenant, call: Call) -> Reply:
    """The endpoint."""
    target = get_object(tenant, call.parameters["object"])
    body = call.json_object()
    select = _select(tenant, target, body.get("select"))
    order = _order(tenant, target, body.get("orderBy"))
    where = _where(tenant, target, body.get("where"))
    limit = _whole(body.get("limit", DEFAULT_ROWS), "limit", 1)
    offset = _whole(body.get("offset", 0), "offset", 0)
    if limit > MAX_ROWS:
        raise invalid(f"The limit of a query is at most {MAX_ROWS} rows")
    seen: dict[str, Record | None] = {}
    rows = _ordered(tenant, order, _found(tenant, target, where, seen), seen)
    records = [
        {name: present_value(tenant, path.field, path.value(tenant, row, seen)) for name, path in select.items()}
        for row in rows[offset : offset + limit]
    ]
    return _reply(tenant, records)


def _found(tenant: Tenant, target: Object, where: Filter | None, seen: dict[str, Record | None]) -> list[Record]:
    rows = rows_of(tenant, target.name) if where is None else where.candidates(tenant, target)
    found = [row for row in rows if where is None or where.holds(lambda path: path.value(tenant, row, seen))]  # noqa: B023
    if target.name == DELETE_LOG.name:
        oldest_ms = tenant.now_ms - DELETE_LOG_DAYS * DAY_MS
        found = [row for row in found if row["DeletedOn"] >= oldest_ms]
    return found


def _ordered(
    tenant: Tenant, order: list[tuple[Path, bool]], rows: list[Record], seen: dict[str, Record | None]
) -> list[Record]:
    """Rows in the order asked for, nulls last; else in that of their insertion."""
    for path, descending in reversed(order):
        valued = [(path.value(tenant, row, seen), row) for row in rows]
        some = sorted(
            ((value, row) for value, row in valued if value is not None),
            key=lambda pair: fold(path.field, pair[0]),
            reverse=descending,
        )
        rows = [row for _, row in some] + [row for value, row in valued if value is None]
    return rows


def _reply(tenant: Tenant, records: list[Record]) -> Reply:
    if not records and tenant.switches.no_rows == "not_found":
        raise RefusedError(400, answers.NO_MATCH, answers.NO_MATCH_TEXT)
    if not records and tenant.switches.no_rows == "result_false":
        raise RefusedError(200, answers.NO_ROWS, "No data found for given criteria")
    return Reply(records if tenant.switches.query_data == "list" else {"records": records})


def find_path(tenant: Tenant, target: Object, text: Any) -> Path:
    """Follow a dot path from an object. Raises RefusedError when it leads nowhere."""
    if not isinstance(text, str):
        raise invalid("The name of a field must be a text")
    *relations, name = text.split(".")
    if len(relations) > MAX_HOPS:
        raise invalid(f"{text} goes through more than {MAX_HOPS} lookups")
    hops: list[tuple[Field, Object]] = []
    owner = target
    for relation in relations:
        wanted = relation.lower()
        lookup = next((field for field in owner.fields if (field.relation or "").lower() == wanted), None)
        if lookup is None or lookup.lookup is None:
            raise invalid(f"{relation} is not a relation of {owner.name}")
        owner = get_object(tenant, lookup.lookup)
        hops.append((lookup, owner))
    field = next((field for field in owner.fields if field.name.lower() == name.lower()), None)
    if field is None:
        raise invalid(f"{name} is not a field of {owner.name}")
    return Path(tuple(hops), owner, field)


def _select(tenant: Tenant, target: Object, names: Any) -> dict[str, Path]:
    if not isinstance(names, list) or not names:
        raise invalid("A query needs a list of fields to select")
    if not all(isinstance(name, str) for name in names):
        raise invalid("The name of a field must be a text")
    return {name: find_path(tenant, target, name) for name in names}


def _order(tenant: Tenant, target: Object, order: Any) -> list[tuple[Path, bool]]:
    if order is None:
        return []
    if not isinstance(order, dict) or not all(str(way).lower() in ("asc", "desc") for way in order.values()):
        raise invalid("orderBy must be an object of field and asc or desc")
    return [(find_path(tenant, target, name), str(way).lower() == "desc") for name, way in order.items()]


def _where(tenant: Tenant, target: Object, where: Any) -> Filter | None:
    if where is None:
        return None
    conditions = where.get("conditions") if isinstance(where, dict) else None
    if not isinstance(conditions, list) or not conditions:
        raise invalid("where needs a list of conditions")
    found: dict[str, tuple[Path, Condition]] = {}
    for condition in conditions:
        if not isinstance(condition, dict) or not isinstance(condition.get("alias"), str):
            raise invalid("Every condition needs a name, an alias, an operator and a value")
        if condition["alias"] in found:
            raise invalid(f"The alias {condition['alias']} is used twice")
        path = find_path(tenant, target, condition.get("name"))
        test = read_condition(tenant, path.owner, path.field, str(condition.get("operator")), condition.get("value"))
        found[condition["alias"]] = (path, test)
    text = where.get("expression")
    if text is None and len(found) == 1:
        text = next(iter(found))
    if not isinstance(text, str):
        raise invalid("where needs an expression over the aliases of its conditions")
    return Filter(found, parse_expression(text, found))


def _whole(value: Any, name: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise invalid(f"{name} must be a whole number from {least}")
    return value
