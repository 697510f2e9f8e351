"""What a tenant's objects look like, from Gainsight's metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gainsight_destination.destinations.gainsight.values import PICKLISTS, Field, option_labels


@dataclass(frozen=True, slots=True)
class Schema:
    """An object of the tenant and its fields by API name."""

    object_name: str
    fields: Mapping[str, Field]

    def can_write(self, name: str) -> bool:
        found = self.fields.get(name)
        return found is not None and found.writable


def parse_schema(object_name: str, described: Any) -> Schema:
    """Read the answer of the metadata API's describe call (its `data`; an object, or a list with one)."""
    if isinstance(described, list):
        described = described[0] if described else {}
    fields = described.get("fields") if isinstance(described, dict) else None
    return Schema(
        object_name,
        {
            item["fieldName"]: _field(item)
            for item in fields or []
            if isinstance(item, dict) and isinstance(item.get("fieldName"), str)
        },
    )


def _field(item: Mapping[str, Any]) -> Field:
    meta = item.get("meta") or {}
    length = meta.get("length")
    data_type = str(item.get("dataType", "STRING")).upper()
    return Field(
        name=item["fieldName"],
        data_type=data_type,
        length=length if isinstance(length, int) and length > 0 else None,
        writable=not (meta.get("readOnly") or meta.get("formulaField")) and meta.get("updateable", True) is not False,
        nillable=meta.get("nillable", True) is not False,
        required=meta.get("required") is True,
        labels=_labels(item.get("options")) if data_type in PICKLISTS else None,
    )


def _labels(options: Any) -> dict[str, str] | None:
    """None when the metadata does not tell the options, which is not the same as that there are none."""
    if not isinstance(options, list):
        return None
    items = [option for option in options if isinstance(option, dict) and isinstance(option.get("label"), str)]
    return option_labels(
        [
            (option["label"], [option["value"]] if isinstance(option.get("value"), str) else [])
            for option in items
            if option.get("active", True)
        ]
    )
