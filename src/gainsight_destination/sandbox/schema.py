"""Objects and their fields: what a tenant's administrator sets up, kept as data so that a rehearsal can change it."""

import sqlite3
from typing import Final, Literal

import msgspec

from gainsight_destination.sandbox.answers import RefusedError
from gainsight_destination.sandbox.identifiers import code, key_prefix
from gainsight_destination.sandbox.tenant import Tenant

DataType = Literal[
    "STRING", "NUMBER", "BOOLEAN", "DATE", "DATETIME", "CURRENCY", "PERCENTAGE", "GSID", "SFDCID", "EMAIL", "URL",
    "RICHTEXTAREA", "LOOKUP", "PICKLIST", "MULTISELECTDROPDOWNLIST",
    "JSON", "JSONBOOLEAN", "JSONNUMBER", "JSONSTRING",
]  # fmt: skip
NUMERIC: Final = frozenset({"NUMBER", "CURRENCY", "PERCENTAGE", "JSONNUMBER"})
BOOLEAN: Final = frozenset({"BOOLEAN", "JSONBOOLEAN"})
INDEXED_TYPES: Final = frozenset({"STRING", "GSID", "SFDCID", "EMAIL", "LOOKUP", "NUMBER"})
INDEXED_LENGTH: Final = 255
ITEM_FAMILY: Final = "1I00"


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item of a picklist."""

    label: str
    active: bool = True

    def gsid(self, category: str) -> str:
        """The item's id, by which picklist values are stored and read."""
        return key_prefix(ITEM_FAMILY, "picklist item") + code(f"{category}:{self.label}", 18)


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field. `length` counts characters; `lookup` names the object a LOOKUP points at."""

    name: str
    data_type: DataType = "STRING"
    label: str = ""
    length: int | None = None
    required: bool = False
    nillable: bool = True
    read_only: bool = False
    group: Literal["SYSTEM", "STANDARD", "CUSTOM"] = "CUSTOM"
    lookup: str | None = None
    options: tuple[Option, ...] = ()

    @property
    def max_length(self) -> int | None:
        """Gainsight's text fields hold 255 characters unless their metadata says otherwise."""
        return 255 if self.length is None and self.data_type in ("STRING", "EMAIL", "URL", "SFDCID") else self.length

    @property
    def relation(self) -> str | None:
        """The name under which dot paths go through this lookup: `Company_Id__gc` -> `Company_Id__gr`."""
        return None if self.lookup is None else f"{self.name.removesuffix('__gc')}__gr"

    @property
    def indexed(self) -> bool:
        return self.data_type in INDEXED_TYPES and (self.max_length or 0) <= INDEXED_LENGTH


class Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object. `write_with` says which API takes its rows; `volume` applies to custom objects."""

    name: str
    label: str
    key_prefix: str
    fields: tuple[Field, ...]
    type: Literal["STANDARD", "CUSTOM", "SYSTEM"] = "CUSTOM"
    volume: Literal["low", "high"] = "low"
    write_with: Literal["objects", "people", "nothing"] = "objects"

    def field(self, name: str) -> Field | None:
        """The field of exactly this name."""
        return next((field for field in self.fields if field.name == name), None)

    def category(self, field: Field) -> str:
        """The id of a picklist field's category."""
        return key_prefix(ITEM_FAMILY, "picklist category") + code(f"{self.name}.{field.name}".lower(), 18)


SYSTEM_FIELDS: Final = (
    Field("Gsid", "GSID", "GSID", length=36, nillable=False, read_only=True, group="SYSTEM"),
    Field("CreatedDate", "DATETIME", "Created Date", read_only=True, group="SYSTEM"),
    Field("ModifiedDate", "DATETIME", "Modified Date", read_only=True, group="SYSTEM"),
    Field("CreatedBy", "LOOKUP", "Created By", lookup="gsuser", read_only=True, group="SYSTEM"),
    Field("ModifiedBy", "LOOKUP", "Modified By", lookup="gsuser", read_only=True, group="SYSTEM"),
)


def find_object(tenant: Tenant, name: str) -> Object | None:
    """The object of this name; upper and lower case are the same unless the switch `object_names` says otherwise."""
    row = tenant.connection.execute("SELECT definition FROM objects WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    found = msgspec.json.decode(row[0], type=Object)
    return None if tenant.switches.object_names == "strict" and found.name != name else found


def get_object(tenant: Tenant, name: str) -> Object:
    """Like `find_object`. Raises RefusedError as Gainsight does for an unknown object, without an errorCode."""
    found = find_object(tenant, name)
    if found is None:
        text = "Requested object not found."
        body = {"result": False, "title": "OBJECT_NOT_FOUND", "detail": text, "errorDesc": text}
        raise RefusedError(400, "OBJECT_NOT_FOUND", text, body=body)
    return found


def all_objects(connection: sqlite3.Connection) -> list[Object]:
    rows = connection.execute("SELECT definition FROM objects ORDER BY name")
    return [msgspec.json.decode(definition, type=Object) for (definition,) in rows]


def save_object(connection: sqlite3.Connection, changed: Object) -> None:
    """Create the object, or replace its definition; its rows stay."""
    connection.execute(
        "INSERT INTO objects VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
        (changed.name, msgspec.json.encode(changed).decode()),
    )


def remove_object(connection: sqlite3.Connection, name: str) -> bool:
    """Remove an object with its rows; False when there is none."""
    connection.execute("DELETE FROM row_keys WHERE object = ?", (name,))
    return connection.execute("DELETE FROM objects WHERE name = ?", (name,)).rowcount > 0


def custom_object(name: str, label: str, fields: tuple[Field, ...], **options: str) -> Object:
    """A custom object with the system fields that every object has."""
    given = {field.name for field in fields}
    system = tuple(field for field in SYSTEM_FIELDS if field.name not in given)
    return msgspec.convert(
        {"name": name, "label": label, "key_prefix": key_prefix("1Z0G", name), "fields": (*system, *fields)} | options,
        Object,
    )
