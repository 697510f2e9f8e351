"""The conditions of a filter: which operators a field's type allows, and when a stored value satisfies one."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gainsight_destination.sandbox.answers import invalid
from gainsight_destination.sandbox.dates import parse_filter_date
from gainsight_destination.sandbox.schema import BOOLEAN, NUMERIC, Field, Object
from gainsight_destination.sandbox.tenant import Tenant

NULLS: Final = frozenset({"IS_NULL", "IS_NOT_NULL"})
TEXT: Final = NULLS | {"EQ", "NE", "IN", "CONTAINS", "DOES_NOT_CONTAIN", "STARTS_WITH", "ENDS_WITH"}
ORDERED: Final = NULLS | {"EQ", "NE", "LT", "GT", "LTE", "GTE", "BTW", "IN"}
OPERATORS: Final[Mapping[str, frozenset[str]]] = {
    "STRING": TEXT, "SFDCID": TEXT, "EMAIL": TEXT, "URL": TEXT, "RICHTEXTAREA": TEXT, "GSID": TEXT, "LOOKUP": TEXT,
    "NUMBER": ORDERED, "CURRENCY": ORDERED, "PERCENTAGE": ORDERED, "DATE": ORDERED, "DATETIME": ORDERED,
    "BOOLEAN": NULLS | {"EQ", "NE"},
    "PICKLIST": NULLS | {"EQ", "NE", "IN", "INCLUDES", "EXCLUDES"},
    "MULTISELECTDROPDOWNLIST": NULLS | {"INCLUDES", "EXCLUDES"},
    "JSON": NULLS, "JSONSTRING": TEXT, "JSONNUMBER": ORDERED, "JSONBOOLEAN": NULLS | {"EQ", "NE"},
}  # fmt: skip
NEGATED: Final = {"NE": "EQ", "EXCLUDES": "INCLUDES", "DOES_NOT_CONTAIN": "CONTAINS", "IS_NOT_NULL": "IS_NULL"}
COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "LT": operator.lt, "GT": operator.gt, "LTE": operator.le, "GTE": operator.ge,
}  # fmt: skip
TEXT_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "CONTAINS": operator.contains, "STARTS_WITH": str.startswith, "ENDS_WITH": str.endswith,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A field compared with values that were made comparable already."""

    field: Field
    operator: str
    values: tuple[Any, ...]

    def holds(self, stored: Any) -> bool:
        """Whether a stored value satisfies it; null satisfies IS_NULL and the negative operators only."""
        positive = NEGATED.get(self.operator)
        return self._holds(self.operator, stored) if positive is None else not self._holds(positive, stored)

    def _holds(self, name: str, stored: Any) -> bool:
        if stored is None or name == "IS_NULL":
            return stored is None and name == "IS_NULL"
        value = fold(self.field, stored)
        if name == "BTW":
            return bool(self.values[0] <= value <= self.values[1])
        if name in COMPARE:
            return COMPARE[name](value, self.values[0])
        if name in TEXT_TESTS:
            return TEXT_TESTS[name](value, self.values[0])
        if isinstance(value, list):
            return any(item in self.values for item in value)
        return value in self.values


def read_condition(tenant: Tenant, target: Object, field: Field, name: str, values: Any) -> Condition:
    """Check an operator and its values against a field. Raises RefusedError."""
    if name not in OPERATORS[field.data_type]:
        raise invalid(f"The operator {name} does not apply to {field.name}, a {field.data_type}")
    if name in NULLS:
        return Condition(field, name, ())
    if not isinstance(values, list) or not values:
        raise invalid(f"The value of a condition on {field.name} must be a list")
    if name == "BTW" and len(values) != 2:
        raise invalid(f"BTW on {field.name} needs two values")
    return Condition(field, name, tuple(_value(tenant, target, field, value) for value in values))


def fold(field: Field, value: Any) -> Any:
    """E-mail addresses differ in case without being different; other texts do not."""
    return value.casefold() if field.data_type == "EMAIL" and isinstance(value, str) else value


def _value(tenant: Tenant, target: Object, field: Field, value: Any) -> Any:
    kind = field.data_type
    if kind in ("DATE", "DATETIME"):
        value = parse_filter_date(value, utc_offset_hours=tenant.switches.utc_offset_hours)
    elif kind in NUMERIC:
        value = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    elif kind in BOOLEAN:
        value = value if isinstance(value, bool) else None
    elif kind in ("PICKLIST", "MULTISELECTDROPDOWNLIST"):
        category = target.category(field)
        labels = {option.label: option.gsid(category) for option in field.options}
        value = labels.get(value, value) if isinstance(value, str) else None
    elif not isinstance(value, str):
        value = None
    if value is None:
        raise invalid(f"A value of the condition on {field.name} does not fit a {kind}")
    return fold(field, value)
