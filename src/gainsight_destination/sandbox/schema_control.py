"""Changes to the tenant's objects, as an administrator makes them: for rehearsals of "field missing" and the like."""

from typing import Any, Final, Literal

import msgspec

from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.sandbox.identifiers import key_prefix
from gainsight_destination.sandbox.rows import index_again
from gainsight_destination.sandbox.schema import (
    SYSTEM_FIELDS,
    Field,
    Object,
    find_object,
    get_object,
    remove_object,
    save_object,
)
from gainsight_destination.sandbox.tenant import Tenant

SYSTEM_NAMES: Final = frozenset(field.name for field in SYSTEM_FIELDS)


class ObjectChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new object, or what is to change of one. `fields` replaces all fields but the system ones."""

    label: str | None = None
    volume: Literal["low", "high"] | None = None
    fields: tuple[Field, ...] | None = None


def put_object(tenant: Tenant, name: str, wanted: ObjectChange) -> Object:
    """Create a custom object or change an object; its rows stay. Raises InvalidSettingsError."""
    known = find_object(tenant, name)
    if known is None:
        if not name.endswith("__gc"):
            raise InvalidSettingsError(["the name of a custom object ends in __gc"])
        known = Object(name, name.removesuffix("__gc").replace("_", " "), key_prefix("1Z0G", name), SYSTEM_FIELDS)
    fields = known.fields if wanted.fields is None else _with_system(wanted.fields)
    changed = msgspec.structs.replace(
        known, label=wanted.label or known.label, volume=wanted.volume or known.volume, fields=fields
    )
    return _save(tenant, changed)


def delete_object(tenant: Tenant, name: str) -> None:
    """Remove an object with its rows. Raises RefusedError, InvalidSettingsError."""
    if get_object(tenant, name).type == "SYSTEM":
        raise InvalidSettingsError([f"{name} belongs to the system and stays"])
    remove_object(tenant.connection, name)


def put_field(tenant: Tenant, name: str, field_name: str, wanted: dict[str, Any]) -> Object:
    """Add a field, or change the given properties of one. Raises RefusedError, InvalidSettingsError."""
    target = get_object(tenant, name)
    _not_system(field_name)
    known = target.field(field_name)
    before = {} if known is None else msgspec.to_builtins(known)
    try:
        field = msgspec.convert(before | wanted | {"name": field_name}, Field)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError([str(error)]) from error
    others = tuple(field if one.name == field_name else one for one in target.fields)
    fields = others if known is not None else (*target.fields, field)
    return _save(tenant, msgspec.structs.replace(target, fields=fields))


def delete_field(tenant: Tenant, name: str, field_name: str) -> None:
    """Remove a field. Raises RefusedError, InvalidSettingsError."""
    target = get_object(tenant, name)
    _not_system(field_name)
    if target.field(field_name) is None:
        raise InvalidSettingsError([f"{field_name} is not a field of {target.name}"])
    fields = tuple(field for field in target.fields if field.name != field_name)
    _save(tenant, msgspec.structs.replace(target, fields=fields))


def _save(tenant: Tenant, changed: Object) -> Object:
    for field in changed.fields:
        if (field.data_type == "LOOKUP") != (field.lookup is not None):
            raise InvalidSettingsError([f"{field.name}: a LOOKUP names its object in lookup, and nothing else does"])
    save_object(tenant.connection, changed)
    index_again(tenant, changed)
    return changed


def _with_system(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    return (*SYSTEM_FIELDS, *(field for field in fields if field.name not in SYSTEM_NAMES))


def _not_system(field_name: str) -> None:
    if field_name in SYSTEM_NAMES:
        raise InvalidSettingsError([f"{field_name} is a system field and stays as it is"])
