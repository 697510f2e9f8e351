"""Checks a tenant before the first delivery: does it answer, and has it the objects and fields that are written?"""

from collections.abc import Set
from typing import Final, NamedTuple

from gainsight_destination.destinations.contract import (
    AuthenticationError,
    BatchRejectedError,
    CallError,
    Calls,
    Finding,
    MisconfiguredError,
    Report,
)
from gainsight_destination.destinations.gainsight import requests
from gainsight_destination.destinations.gainsight.projection import COMPANY_TRAITS, PERSON_TRAITS
from gainsight_destination.destinations.gainsight.responses import read_answer
from gainsight_destination.destinations.gainsight.schema import Schema, parse_schema
from gainsight_destination.destinations.gainsight.settings import GainsightSettings
from gainsight_destination.destinations.gainsight.values import NUMERIC

TEXT: Final = frozenset({"STRING", "RICHTEXTAREA", "SFDCID", "EMAIL", "URL", "PICKLIST", "GSID"})
LOOKUP: Final = frozenset({"LOOKUP", "GSID"})


class Needed(NamedTuple):
    """A field that is written: its API name, the type to create it with, and what else will do."""

    name: str
    create_as: str
    accepted: frozenset[str]
    required: bool = True


EVENT_FIELDS: Final = (
    Needed("Message_Id__gc", "String, length 255", TEXT),
    Needed("Event_Name__gc", "String, length 255", TEXT),
    Needed("Event_Time__gc", "DateTime", frozenset({"DATETIME"})),
    Needed("User_Id__gc", "String, length 255", TEXT),
    Needed("Account_Id__gc", "String, length 255", TEXT),
    Needed("Company_Id__gc", "Lookup to Company (Gsid)", LOOKUP),
    Needed("Person_Id__gc", "Lookup to Person (Gsid)", LOOKUP),
    Needed("Properties__gc", "String with the greatest length, or Rich Text Area", TEXT | {"JSON", "JSONSTRING"}),
)
USAGE_FIELDS: Final = (
    Needed("Usage_Key__gc", "String, length 255", TEXT),
    Needed("Usage_Date__gc", "Date", frozenset({"DATE"})),
    Needed("Event_Name__gc", "String, length 255", TEXT),
    Needed("Account_Id__gc", "String, length 255", TEXT),
    Needed("Company_Id__gc", "Lookup to Company (Gsid)", LOOKUP),
    Needed("Person_Id__gc", "Lookup to Person (Gsid)", LOOKUP),
    Needed("Event_Count__gc", "Number", NUMERIC),
    Needed("First_At__gc", "DateTime", frozenset({"DATETIME"})),
    Needed("Last_At__gc", "DateTime", frozenset({"DATETIME"})),
)
USAGE_USER: Final = Needed("User_Id__gc", "String, length 255", TEXT)
ANY: Final[frozenset[str]] = frozenset()


async def check_tenant(settings: GainsightSettings, calls: Calls) -> Report:
    """Read the metadata of every object that is written, and compare. Raises QuotaSpentError."""
    findings: list[Finding] = []
    objects: dict[str, dict[str, str]] = {}
    for name, needed in needed_fields(settings).items():
        try:
            schema = await _describe(name, calls)
        except AuthenticationError as error:
            return Report(False, objects, (Finding("error", "", "", str(error)),))
        except (MisconfiguredError, BatchRejectedError):
            if not objects and name == requests.COMPANY_OBJECT:
                text = f"{settings.domain} answers, but not as Gainsight does; check the domain in the settings"
                return Report(False, objects, (Finding("error", name, "", text),))
            findings.append(Finding("error", name, "", _create_object(name, needed)))
            continue
        except CallError as error:
            return Report(False, objects, (Finding("error", name, "", str(error)),))
        objects[name] = {field.name: field.data_type for field in schema.fields.values()}
        findings += _compare(schema, needed)
        if name != requests.COMPANY_OBJECT or settings.create_companies:
            findings += _unfilled(schema, {field.name for field in needed})
    return Report(True, objects, tuple(findings))


async def _describe(name: str, calls: Calls) -> Schema:
    call = requests.describe(name)
    return parse_schema(name, read_answer(call, await calls.send(call)))


def needed_fields(settings: GainsightSettings) -> dict[str, tuple[Needed, ...]]:
    """The fields that are written, by Gainsight's object name."""
    optional = [
        (requests.COMPANY_OBJECT, [*COMPANY_TRAITS]),
        (requests.PERSON_OBJECT, [*PERSON_TRAITS]),
    ]
    mapped = {
        requests.COMPANY_OBJECT: settings.company_fields,
        requests.PERSON_OBJECT: settings.person_fields,
    }
    keys = {
        requests.COMPANY_OBJECT: Needed(settings.account_field, "String", TEXT),
        requests.PERSON_OBJECT: Needed("Email", "Email", TEXT),
    }
    needed = {
        name: (
            keys[name],
            *(Needed(field, "", ANY, required=False) for field in fields if field not in mapped[name].values()),
            *(Needed(field, "", ANY) for field in mapped[name].values()),
        )
        for name, fields in optional
    }
    if settings.event_object is not None:
        extra = (Needed(field, "String", ANY) for field in settings.event_fields.values())
        needed[settings.event_object] = (*EVENT_FIELDS, *extra)
    if settings.usage_object is not None:
        by_user = (USAGE_USER,) if settings.usage_grain == "user" else ()
        needed[settings.usage_object] = (*USAGE_FIELDS, *by_user)
    return needed


def _compare(schema: Schema, needed: tuple[Needed, ...]) -> list[Finding]:
    findings = []
    for want in needed:
        has = schema.fields.get(want.name)
        if has is None:
            what = f"create the field {want.name}" + (f" as {want.create_as}" if want.create_as else "")
            if not want.required:
                what = f"the field {want.name} is not there; what is sent for it is left out"
            findings.append(Finding("error" if want.required else "warning", schema.object_name, want.name, what))
        elif want.accepted and has.data_type not in want.accepted:
            what = f"the field {want.name} is {has.data_type.title()}; create it as {want.create_as}"
            findings.append(Finding("error", schema.object_name, want.name, what))
        elif not has.writable and want.required and want.create_as != "Email":
            what = f"the field {want.name} is read-only; what is sent for it is left out"
            findings.append(Finding("warning", schema.object_name, want.name, what))
    return findings


def _unfilled(schema: Schema, written: Set[str]) -> list[Finding]:
    """Fields that Gainsight wants in every new row and that nothing is sent for: it would refuse each insert."""
    return [
        Finding(
            "error",
            schema.object_name,
            field.name,
            f"the field {field.name} is required and nothing is sent for it, so Gainsight refuses new rows; "
            "make it optional there, or map something to it in the settings",
        )
        for field in schema.fields.values()
        if field.required and field.writable and field.name not in written
    ]


def _create_object(name: str, needed: tuple[Needed, ...]) -> str:
    fields = "; ".join(f"{field.name} ({field.create_as})" for field in needed if field.create_as)
    return f"create the Low Volume custom object {name} with the fields {fields}"
