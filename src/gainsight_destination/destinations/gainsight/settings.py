"""The settings of the Gainsight destination: what a person may say, checked once, before anything is sent.

Names are camelCase outside and snake_case inside. Defaults and meanings are in docs/workspace.md.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gainsight_destination.destinations.addresses import origin
from gainsight_destination.destinations.read_settings import (
    MISSING,
    SettingsReader,
    WrongValueError,
    boolean,
    described,
    event_name,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    text,
    whole_number,
)
from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.events.event_names import to_no_case

SECRET_SETTINGS = frozenset({"accessKey", "clientSecret", "sharedSecret"})
ALTERNATIVES = (frozenset({"accessKey"}), frozenset({"clientId", "clientSecret"}))
"""What lets calls in: the Access Key, or the key pair of machine-to-machine OAuth."""

PEOPLE_PATHS = ("/v1/peoplemgmt/v1.0/people", "/v1.0/api/people")
"""Gainsight documents the first; the second is older and still answered."""

TENANT_CALLS_PER_MINUTE = 100
TENANT_CALLS_PER_DAY = 50_000
"""Gainsight documents these for a whole tenant, all integrations together."""

ACCESS_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ACCESS_KEY_LENGTH = 36
API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Trigger(msgspec.Struct, frozen=True, rename="camel"):
    """A track event that also fires an event of Gainsight's Events Framework."""

    event: str
    topic_name: str
    event_name: str
    event_version: str


class GainsightSettings(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One Gainsight tenant and what to send to it. Immutable and checked; `repr` shows no secret."""

    domain: str
    """An origin: `https://acme.gainsightcloud.com`, nothing after the host and port."""
    access_key: str | None = None
    """Either this, or `client_id` and `client_secret`."""
    client_id: str | None = None
    client_secret: str | None = None
    events: tuple[str, ...] = ()
    account_id_names: tuple[str, ...] = ("accountId", "account_id")
    account_field: str = "SfdcAccountId"
    create_companies: bool = False
    company_fields: Mapping[str, str] = {}
    person_fields: Mapping[str, str] = {}
    event_fields: Mapping[str, str] = {}
    event_object: str | None = "Segment_Event__gc"
    usage_object: str | None = "Segment_Usage_Daily__gc"
    usage_grain: Literal["user", "account"] = "user"
    triggers: tuple[Trigger, ...] = ()
    shared_secret: str | None = None
    tenant_id: str | None = None
    trigger_hours: float = 24
    trigger_imported: bool = False
    park_days: float = 30
    parked_then: Literal["drop", "deliver"] = "drop"
    correction_days: float = 7
    people_path: str = PEOPLE_PATHS[0]
    calls_per_minute: int = 60
    calls_per_day: int = 30_000
    flush_seconds: float = 15
    bulk_jobs: Mapping[str, str] = {}

    def __rich_repr__(self) -> Any:
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            yield field.name, "[secret]" if field.encode_name in SECRET_SETTINGS and value is not None else value

    def __repr__(self) -> str:
        return f"GainsightSettings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


DEFAULTS: Mapping[str, Any] = {
    field.encode_name: MISSING
    if field.required
    else field.default_factory()
    if field.default is msgspec.NODEFAULT
    else field.default
    for field in msgspec.structs.fields(GainsightSettings)
}


def parse_settings(raw: Mapping[str, Any]) -> GainsightSettings:
    """Check settings as a person wrote them. Raises InvalidSettingsError with every problem at once."""
    reader = SettingsReader(raw)
    found = {name: reader.take(name, read, DEFAULTS[name]) for name, read in READERS.items()}
    for problem in credential_problems(raw):
        reader.refuse(problem)
    if found["triggers"]:
        for name in ("sharedSecret", "tenantId"):
            if found[name] is None and raw.get(name) is None:
                reader.refuse(f"{name} is required when there are triggers")
    if found["eventObject"] is not None and found["eventObject"] == found["usageObject"]:
        reader.refuse("eventObject and usageObject must be two different objects")
    if problems := reader.problems():
        raise InvalidSettingsError(problems)
    return GainsightSettings(
        **{field.name: found[field.encode_name] for field in msgspec.structs.fields(GainsightSettings)}
    )


def warnings(settings: GainsightSettings) -> list[str]:
    """What is allowed and probably not meant, one sentence each."""
    found = []
    for name, calls, allowed, window in (
        ("callsPerMinute", settings.calls_per_minute, TENANT_CALLS_PER_MINUTE, "minute"),
        ("callsPerDay", settings.calls_per_day, TENANT_CALLS_PER_DAY, "day"),
    ):
        if calls > allowed:
            found.append(
                f"{name} is {calls:,}; Gainsight allows a tenant {allowed:,} calls a {window}, all integrations "
                "together, unless it agreed to more"
            )
    for name, object_name in (("eventObject", settings.event_object), ("usageObject", settings.usage_object)):
        if object_name is not None and not object_name.endswith("__gc"):
            found.append(f"{name} does not end in __gc, as the API names of Gainsight's custom objects do")
    if settings.event_object is None and settings.usage_object is None:
        but = ", but for triggers" if settings.triggers else ""
        found.append(f"eventObject and usageObject are both null, so track events are accepted and not delivered{but}")
    if settings.account_field in settings.company_fields.values():
        found.append(f"companyFields maps to {settings.account_field}, which is set from the account id only")
    listed = {to_no_case(name) for name in settings.events}
    found.extend(
        f"the trigger for {trigger.event!r} never fires, since events does not list that event"
        for trigger in settings.triggers
        if listed and to_no_case(trigger.event) not in listed
    )
    for name in settings.bulk_jobs:
        if name not in (settings.event_object, settings.usage_object):
            found.append(f"bulkJobs has a job for {name}, which is neither eventObject nor usageObject; it is not used")
    return found


def credential_problems(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with the choice between the Access Key and OAuth."""
    key, pair = (sorted(names & raw.keys()) for names in ALTERNATIVES)
    if key and pair:
        return [f"accessKey and {pair[0]} are both given; Gainsight takes either an Access Key or OAuth: remove one"]
    if not key and not pair:
        return ["accessKey is required; or clientId and clientSecret, for OAuth"]
    return [f"{name} is required with {pair[0]}" for name in ("clientId", "clientSecret") if pair and name not in pair]


def access_key(value: Any) -> str:
    """Gainsight's Access Key: a UUID in its usual form."""
    form = f"must be {ACCESS_KEY_LENGTH} characters in the form 8-4-4-4-12"
    if not isinstance(value, str):
        raise WrongValueError(f"{form}; {described(value)}")
    key = value.strip()
    if len(key) != ACCESS_KEY_LENGTH:
        raise WrongValueError(f"{form}; this one has {len(key)} character{'' if len(key) == 1 else 's'}")
    if not ACCESS_KEY.fullmatch(key):
        raise WrongValueError(f"{form}, digits and the letters a to f; this one is formed otherwise")
    return key


def api_name(value: Any) -> str:
    """The API name of a Gainsight object or field."""
    name = text(value)
    if not API_NAME.fullmatch(name):
        raise WrongValueError("must be an API name: letters, digits and _ after a letter")
    return name


def bulk_object(value: Any) -> str:
    name = api_name(value)
    if name.lower() in ("person", "company_person", "gsuser"):
        raise WrongValueError("is an object that Gainsight's Bulk API does not load")
    return name


def account_id_names(value: Any) -> tuple[str, ...]:
    names = list_of(text)(value)
    if not names:
        raise WrongValueError("is an empty list; name at least one, or leave the setting out")
    return names


def header_text(value: Any) -> str:
    """Text that an HTTP header can carry."""
    content = text(value)
    if not content.isascii() or not content.isprintable():
        raise WrongValueError("must be plain ASCII, since it goes into an HTTP header")
    return content


def trigger(value: Any) -> Trigger:
    fields = {field.encode_name: field.name for field in msgspec.structs.fields(Trigger)}
    if not isinstance(value, Mapping):
        raise WrongValueError(f"must be an object with {', '.join(fields)}; {described(value)}")
    reader = SettingsReader(value, kind="name")
    found = {
        name: reader.take(wire_name, text if name == "event" else header_text, MISSING)
        for wire_name, name in fields.items()
    }
    if problems := reader.problems():
        raise WrongValueError("is wrong: " + ", ".join(problems))
    return Trigger(**found)


READERS: Mapping[str, Any] = {
    "accessKey": access_key,
    "clientId": text,
    "clientSecret": text,
    "domain": origin,
    "events": list_of(event_name),
    "accountIdNames": account_id_names,
    "accountField": api_name,
    "createCompanies": boolean,
    "companyFields": mapping_of(text, api_name),
    "personFields": mapping_of(text, api_name),
    "eventFields": mapping_of(text, api_name),
    "eventObject": optional(api_name),
    "usageObject": optional(api_name),
    "usageGrain": one_of("user", "account"),
    "triggers": list_of(trigger),
    "sharedSecret": optional(header_text),
    "tenantId": optional(header_text),
    "triggerHours": number(0, 87_600),
    "triggerImported": boolean,
    "parkDays": number(0, 3_650),
    "parkedThen": one_of("drop", "deliver"),
    "correctionDays": number(0, 3_650),
    "peoplePath": one_of(*PEOPLE_PATHS),
    "callsPerMinute": whole_number(1, 10_000),
    "callsPerDay": whole_number(1, 10_000_000),
    "flushSeconds": number(0, 3_600),
    "bulkJobs": mapping_of(bulk_object, text),
}
