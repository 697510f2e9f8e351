"""The metadata API: which objects there are, their fields, and the items of picklists."""

from typing import Any, Final

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.schema import NUMERIC, Field, Object, all_objects, get_object
from gainsight_destination.sandbox.tenant import Tenant

PICKLISTS: Final = frozenset({"PICKLIST", "MULTISELECTDROPDOWNLIST"})


def list_objects(tenant: Tenant, call: Call) -> Reply:
    """`GET /v1/meta/services/objects/list`, and `POST /v1/meta/services/objects/`."""
    return Reply([_summary(found) for found in all_objects(tenant.connection)])


def describe_one(tenant: Tenant, call: Call) -> Reply:
    """`GET /v1/meta/services/objects/{name}/describe`."""
    return Reply(_described(get_object(tenant, call.parameters["object"])))


def describe_several(tenant: Tenant, call: Call) -> Reply:
    """`POST /v1/meta/services/objects/describe` with `objectNames`."""
    names = call.json_object().get("objectNames")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise invalid("objectNames must be a list of names")
    return Reply([_described(get_object(tenant, name)) for name in names])


def dropdown(tenant: Tenant, call: Call) -> Reply:
    """`GET /v1/meta/services/dropdowns/{categoryId}`."""
    wanted = call.parameters["category"]
    for owner in all_objects(tenant.connection):
        for field in owner.fields:
            if field.options and owner.category(field) == wanted:
                return Reply(
                    {
                        "categoryDetails": {"gsid": wanted, "name": field.label or field.name},
                        "childItems": [
                            {
                                "name": option.label,
                                "systemName": option.label.upper().replace(" ", "_"),
                                "active": option.active,
                                "displayOrder": order,
                                "gsid": option.gsid(wanted),
                                "categoryId": wanted,
                            }
                            for order, option in enumerate(field.options)
                        ],
                    }
                )
    raise RefusedError(400, answers.NO_MATCH, answers.NO_MATCH_TEXT)


def _summary(found: Object) -> dict[str, Any]:
    writable = found.write_with == "objects" and found.volume == "low"
    return {
        "objectName": found.name.lower(),
        "label": found.label,
        "objectType": found.type,
        "keyPrefix": found.key_prefix,
        "transactional": found.volume == "low",
        "multiCurrencySupported": False,
        "readable": True,
        "createable": writable,
        "schemaUpdateable": found.type == "CUSTOM",
    }


def _described(found: Object) -> dict[str, Any]:
    return {**_summary(found), "fields": [_described_field(found, field) for field in found.fields]}


def _described_field(owner: Object, field: Field) -> dict[str, Any]:
    category = owner.category(field)
    described: dict[str, Any] = {
        "fieldName": field.name,
        "label": field.label or field.name.removesuffix("__gc").replace("_", " "),
        "dataType": field.data_type,
        "objectName": owner.name.lower(),
        "meta": _meta(field, category),
    }
    if field.options or field.data_type in PICKLISTS:
        described["options"] = [
            {
                "label": option.label,
                "value": option.gsid(category),
                "active": option.active,
                "systemName": option.label.upper().replace(" ", "_"),
                "displayOrder": order,
                "groupId": category,
            }
            for order, option in enumerate(field.options)
        ]
    return described


def _meta(field: Field, category: str) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "createable": not field.read_only,
        "updateable": not field.read_only,
        "readOnly": field.read_only,
        "formulaField": False,
        "required": field.required,
        "nillable": field.nillable,
        "length": field.max_length or 0,
        "decimalPlaces": 9 if field.data_type in NUMERIC else 0,
        "filterable": True,
        "sortable": field.data_type not in ("MULTISELECTDROPDOWNLIST", "RICHTEXTAREA", "JSON"),
        "indexed": field.indexed,
        "hidden": False,
        "nameField": field.name == "Name",
        "fieldGroupType": field.group,
        "hasLookup": field.lookup is not None,
        "properties": {"PICKLIST_CATEGORY_ID": category} if field.options else {},
    }
    if field.lookup is not None:
        meta["lookupDetail"] = {
            "lookupName": field.relation,
            "fieldName": "Gsid",
            "lookupObjects": [{"objectName": field.lookup.lower()}],
        }
    return meta
