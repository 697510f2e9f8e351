"""What each Gainsight record should hold, computed from what the messages said.

Fields are last-writer-wins by date, then message id; among values that cannot become the field's type the newest one
that can wins. A trait sent as null clears its field, except Email and Name. What a person corrected is one more value,
dated when it was corrected.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from gainsight_destination.destinations.contract import Correction, Draft, Record, RecordReader, Reference, Statement
from gainsight_destination.destinations.gainsight.placement import COMPANY, EVENT, PERSON, TRIGGER, USAGE, UsageKey
from gainsight_destination.destinations.gainsight.schema import Schema
from gainsight_destination.destinations.gainsight.settings import GainsightSettings
from gainsight_destination.destinations.gainsight.triggers import corrected
from gainsight_destination.destinations.gainsight.values import Field, fit
from gainsight_destination.events.message import GROUP_ID
from gainsight_destination.events.timestamps import iso_day, iso_utc

Said = tuple[int, str, Statement, Mapping[str, Any]]
"""(at_ms, message id, statement, traits), as RecordReader.statements gives them."""

COMPANY_TRAITS: Final = {"Name": ("name",), "Industry": ("industry",), "Employees": ("employees",)}
PERSON_TRAITS: Final = {
    "FirstName": ("firstName", "first_name"),
    "LastName": ("lastName", "last_name"),
    "MiddleName": ("middleName", "middle_name"),
    "Name": ("name",),
    "LinkedinUrl": ("linkedinUrl", "linkedin_url"),
    "Location": ("location",),
    "Timezone": ("timezone",),
}
KEPT_ON_NULL: Final = frozenset({"Name", "Email"})

PERSON_EMAIL: Final = "personEmail"
"""Draft field of a row: a helper key by which Gainsight looks the Person up; it is not stored."""
ACCOUNT: Final = "account"
"""Draft field: the account id a record belongs to, in the clear; `requests.py` turns it into lookups."""


RESOLVED: Final = ("Account_Id__gc", "Company_Id__gc", "Person_Id__gc")
OF_THE_USER: Final = "it follows from whose event it is; send an identify or group call that says so"
TITLE: Final = Field("Title", "STRING", 255)
"""The text on a link of Person and Company, with the length that Gainsight's text fields have."""


NOT_CORRECTED: Final[Mapping[str, Mapping[str, str]]] = {
    COMPANY: {"Gsid": "it is the key"},
    PERSON: {"Email": "it is the key", "companies": "it comes from account facts; send a group call"},
    EVENT: {"Message_Id__gc": "it is the key", **dict.fromkeys(RESOLVED, OF_THE_USER)},
    USAGE: {
        "Usage_Key__gc": "it is the key",
        **dict.fromkeys(RESOLVED, OF_THE_USER),
        **dict.fromkeys(("Event_Count__gc", "First_At__gc", "Last_At__gc"), "it is counted from messages"),
    },
    TRIGGER: {"messageId": "it is the message's"},
}
"""Fields by object that a person cannot correct, and why; also the account field of a Company."""


class Mapped(NamedTuple):
    """Fields computed from traits, and what was cut, skipped or left out on the way."""

    fields: dict[str, Any]
    notices: tuple[tuple[str, str], ...]


def traits_of_fields(
    standard: Mapping[str, tuple[str, ...]], explicit: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Field -> the traits it is read from. An explicit mapping (trait -> field) wins over the standard one."""
    traits = {
        field: tuple(name for name in names if name not in explicit)
        for field, names in standard.items()
        if field not in explicit.values()
    }
    for trait, field in explicit.items():
        traits[field] = (*traits.get(field, ()), trait)
    return {field: names for field, names in traits.items() if names}


def map_traits(
    said: Sequence[Said],
    fields: Mapping[str, tuple[str, ...]],
    schema: Schema,
    corrections: Mapping[str, Correction] = {},
) -> Mapped:
    """Fold what messages said, oldest first, and what a person corrected, into fields that the schema has."""
    mapped: dict[str, Any] = {}
    notices: set[tuple[str, str]] = set()
    for field in {**fields, **corrections}:
        target = schema.fields.get(field)
        for value in _newest_first(said, fields.get(field, ()), corrections.get(field)):
            if value is None and field in KEPT_ON_NULL:
                continue
            if target is None or not target.writable:
                notices.add(("field_not_writable", f"{schema.object_name}.{field}"))
                break
            fitted = fit(value, target)
            if remark := fitted.remark(schema.object_name, target):
                notices.add(remark)
            if fitted.ok:
                mapped[field] = fitted.value
                break
    return Mapped(mapped, tuple(sorted(notices)))


def _newest_first(said: Sequence[Said], names: Sequence[str], correction: Correction | None) -> Iterator[Any]:
    """The values of a field. What messages said before it was corrected does not count."""
    for at_ms, _, _, traits in reversed(said):
        if correction is not None and at_ms <= correction.at_ms:
            break
        found, value = _first_said(traits, names)
        if found:
            yield value
    if correction is not None and not correction.unset:
        yield correction.value


def _first_said(traits: Mapping[str, Any], names: Sequence[str]) -> tuple[bool, Any]:
    """(whether one of the names was said, its value); a name with dots also reads nested objects."""
    for name in names:
        if name in traits:
            return True, traits[name]
        if "." in name:
            value: Any = traits
            for part in name.split("."):
                value = value.get(part, ...) if isinstance(value, Mapping) else ...
            if value is not ...:
                return True, value
    return False, None


def unmapped_traits(said: Sequence[Said], known: frozenset[str], object_name: str) -> tuple[tuple[str, str], ...]:
    """Notices of traits that go nowhere."""
    names = {name for _, _, _, traits in said for name in traits} - known
    return tuple(("trait_unmapped", f"{object_name}.{name}") for name in sorted(names))


class Projection:
    """Projects records of one destination. Pure but for the reader it is given."""

    def __init__(self, settings: GainsightSettings) -> None:
        self._settings = settings
        self._company_fields = traits_of_fields(COMPANY_TRAITS, settings.company_fields)
        self._person_fields = traits_of_fields(PERSON_TRAITS, settings.person_fields)
        account_names = {*settings.account_id_names}
        self._known_company = frozenset(
            {name for names in self._company_fields.values() for name in names} | account_names | {GROUP_ID}
        )
        self._known_person = frozenset(
            {name for names in self._person_fields.values() for name in names} | account_names | {"email", "title"}
        )

    def company(self, reader: RecordReader, record: Record, schema: Schema) -> Draft:
        account = reader.account(int(record.key))
        said = reader.statements(record.id)
        mapped = map_traits(said, self._company_fields, schema, reader.corrections(record.id))
        mapped.fields.pop(self._settings.account_field, None)
        unmapped = unmapped_traits(said, self._known_company, schema.object_name)
        return Draft(
            record,
            name=account,
            fields=mapped.fields,
            references=(Reference(COMPANY, account),),
            wanted=bool(said),
            notices=mapped.notices + unmapped,
        )

    def person(self, reader: RecordReader, record: Record, schema: Schema) -> Draft:
        email = reader.email(int(record.key))
        said = reader.statements(record.id)
        mapped = map_traits(said, self._person_fields, schema, reader.corrections(record.id))
        fields = {**mapped.fields, "Email": email}
        if "Name" not in fields and schema.can_write("Name"):
            parts = [str(fields[part]) for part in ("FirstName", "LastName") if fields.get(part)]
            if parts:
                fields["Name"] = fit(" ".join(parts), schema.fields["Name"]).value
        titles: dict[int, Any] = {}
        for _, _, statement, _ in said:
            if statement.says_member is not None:
                titles[statement.says_member] = ...
        for _, _, statement, traits in said:
            if statement.account_id in titles and "title" in traits:
                titles[statement.account_id] = traits["title"]
        links = sorted((reader.account(account_id), account_id) for account_id in titles)
        fitted = {account_id: fit(title, TITLE) for account_id, title in titles.items() if title is not ...}
        fields["companies"] = [
            {ACCOUNT: account} | ({"Title": fitted[account_id].value} if account_id in fitted else {})
            for account, account_id in links
        ]
        remarks = {remark for each in fitted.values() if (remark := each.remark("company_person", TITLE))}
        return Draft(
            record,
            name=email,
            fields=fields,
            references=tuple(Reference(COMPANY, account) for account, _ in links),
            wanted=bool(said),
            notices=(
                *mapped.notices,
                *sorted(remarks),
                *unmapped_traits(said, self._known_person, schema.object_name),
            ),
        )

    def event(self, reader: RecordReader, record: Record, schema: Schema) -> Draft:
        delivery = reader.delivery(int(record.key))
        assert delivery.event_id is not None
        fields: dict[str, Any] = {
            "Message_Id__gc": delivery.message_id,
            "Event_Name__gc": reader.event_name(delivery.event_id),
            "Event_Time__gc": iso_utc(delivery.at_ms),
            "User_Id__gc": reader.identity(delivery.user_id),
            "Account_Id__gc": None if delivery.account_id is None else reader.account(delivery.account_id),
        }
        notices: tuple[tuple[str, str], ...] = ()
        properties = reader.body(delivery.offset)
        if properties is not None:
            said = [(delivery.at_ms, delivery.message_id, Statement(), properties)]
            explicit = traits_of_fields({}, self._settings.event_fields)
            mapped = map_traits(said, explicit, schema)
            fields |= {"Properties__gc": json.dumps(properties, ensure_ascii=False, separators=(",", ":"))}
            fields = {**fields, **mapped.fields, "Message_Id__gc": delivery.message_id}
            notices = mapped.notices
        draft = self._row(reader, record, schema, fields, delivery.email_id, notices)
        return replace(draft, wanted=delivery.state not in ("filtered", "parked"))

    def usage(self, reader: RecordReader, record: Record, schema: Schema) -> Draft:
        key = UsageKey.parse(record.key)
        count, first_at_ms, last_at_ms = reader.tally(record.id)
        account = reader.account(key.account_id) if key.account_id else None
        user = None if key.user_id is None else reader.identity(key.user_id)
        anonymous = key.user_id is not None and reader.is_anonymous(key.user_id)
        event, day = reader.event_name(key.event_id), iso_day(key.day)
        fields: dict[str, Any] = {
            "Usage_Key__gc": usage_digest(account, user, event, day, anonymous=anonymous),
            "Usage_Date__gc": day,
            "Event_Name__gc": event,
            "Account_Id__gc": account,
            "Event_Count__gc": count,
            "First_At__gc": iso_utc(first_at_ms) if count else None,
            "Last_At__gc": iso_utc(last_at_ms) if count else None,
        }
        email_id = None
        if user is not None:
            fields["User_Id__gc"] = user
            assert key.user_id is not None
            email_id = reader.email_of_user(key.user_id, last_at_ms) if count else None
        return replace(self._row(reader, record, schema, fields, email_id, ()), wanted=count > 0)

    def _row(
        self,
        reader: RecordReader,
        record: Record,
        schema: Schema,
        fields: dict[str, Any],
        email_id: int | None,
        notices: tuple[tuple[str, str], ...],
    ) -> Draft:
        """A row of a custom object: values made to fit, and the references for its lookups."""
        fitted: dict[str, Any] = {}
        found = set(notices)
        for name, value in corrected(fields, reader.corrections(record.id)).items():
            target = schema.fields.get(name)
            if target is None or not target.writable:
                found.add(("field_not_writable", f"{schema.object_name}.{name}"))
                continue
            result = fit(value, target)
            if remark := result.remark(schema.object_name, target):
                found.add(remark)
            if result.ok:
                fitted[name] = result.value
        references = []
        account = fields["Account_Id__gc"]
        if account is not None and schema.can_write("Company_Id__gc"):
            references.append(Reference(COMPANY, account))
        if email_id is not None and schema.can_write("Person_Id__gc"):
            fitted[PERSON_EMAIL] = reader.email(email_id)
            references.append(Reference(PERSON, reader.email(email_id)))
        name = str(fields.get("Message_Id__gc") or fields.get("Usage_Key__gc"))
        awaits = email_id is not None and reader.is_on_its_way(PERSON, str(email_id))
        return Draft(record, name, fitted, tuple(references), awaits, notices=tuple(sorted(found)))


def usage_digest(account: str | None, user: str | None, event: str, day: str, *, anonymous: bool = False) -> str:
    """The stable key of a daily usage row: 40 hex digits of its grain. `anonymous`: the user is an anonymousId."""
    who = {"anonymousId": user} if anonymous else user
    grain = json.dumps([account, who, event, day], ensure_ascii=False, separators=(",", ":"))
    return blake2b(grain.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
