"""Stored values as the tenant's reads give them."""

from collections.abc import Mapping
from typing import Any

from gainsight_destination.sandbox.dates import format_date
from gainsight_destination.sandbox.schema import Field, Object
from gainsight_destination.sandbox.tenant import Tenant


def present_value(tenant: Tenant, field: Field, value: Any) -> Any:
    """One value; the forms of dates are switches, since Gainsight's own differ."""
    if field.data_type not in ("DATE", "DATETIME"):
        return value
    if value is None:
        return "" if tenant.switches.empty_dates == "blank" else None
    return format_date(value, tenant.switches.dates_in_reads, day_only=field.data_type == "DATE")


def present_row(tenant: Tenant, target: Object, row: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a row."""
    return {field.name: present_value(tenant, field, row.get(field.name)) for field in target.fields}
