"""What becomes of each message, and what Gainsight must hold in the end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.accounts import account_id
from tests.oracle.fields import COMPANY, PERSON, SILENT, Field, as_text, fit, last_said, mapping_of, written
from tests.oracle.filters import why_filtered
from tests.oracle.identity import (
    Identity,
    account_fact,
    account_in_force,
    account_said,
    email_in_force,
    email_said,
    identity_of,
    is_placed,
    user_of,
)
from tests.oracle.messages import Message, Receipt, day, iso, sort_out

DEFAULTS: Mapping[str, Any] = {
    "events": [],
    "consentCategories": [],
    "accountIdNames": ["accountId", "account_id"],
    "createCompanies": False,
    "companyFields": {},
    "personFields": {},
    "eventFields": {},
    "eventObject": "Segment_Event__gc",
    "usageObject": "Segment_Usage_Daily__gc",
    "usageGrain": "user",
    "parkedThen": "drop",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Tenant:
    """What is in Gainsight without us: account ids of Companies as stored there, and the fields of each object."""

    fields: Mapping[str, Mapping[str, Field]]
    companies: Collection[str] = ()
    too_late: Collection[str] = ()
    """Companies that came when those who waited for them had been given up."""

    def has(self, account: str) -> bool:
        return any(account_id(stored) == account for stored in (*self.companies, *self.too_late))

    def had_in_time(self, account: str) -> bool:
        return any(account_id(stored) == account for stored in self.companies)


@dataclass
class Held:
    """Records by name. A field with None is empty; of a field that is not there nobody said anything."""

    companies: dict[str, Row] = field(default_factory=dict)
    people: dict[str, Row] = field(default_factory=dict)
    links: dict[tuple[str, str], Row] = field(default_factory=dict)
    events: dict[str, Row] = field(default_factory=dict)
    usage: dict[tuple[str | None, Identity | None, str, str], Row] = field(default_factory=dict)


class Oracle:
    """The answer to everything about some receipts, in the order in which they were acknowledged."""

    def __init__(
        self,
        receipts: Sequence[Receipt],
        settings: Mapping[str, Any],
        tenant: Tenant,
        *,
        connected: Collection[int],
        limited: Collection[int] = (),
        waiting_is_over: bool = False,
    ) -> None:
        self.receipts = receipts
        self.received = sort_out(receipts, limited)
        self.settings = {**DEFAULTS, **settings}
        self.tenant = tenant
        self.connected = connected
        self.waiting_is_over = waiting_is_over
        """Whether what is parked was received longer than `parkDays` ago."""

    # -- whose message is it

    @property
    def everything(self) -> Sequence[Message]:
        """Facts and links are learned from every valid message, also from filtered ones and those of sources that are
        not connected: filters decide what is delivered, never what is known."""
        return self.received.messages

    def user(self, message: Message) -> Identity:
        return user_of(identity_of(message), message.at_ms, self.everything)

    def account(self, message: Message) -> str | None:
        """Of a track: the one it names itself, `context.groupId`, the fact in force. A group is on its `groupId`, an
        identify on the fact in force. What a message of limited trust names is ignored for a placed user."""
        names = self.settings["accountIdNames"]
        if message.type == "group" and not self.is_ignored(message):
            return account_fact(message, names)
        if message.type == "track" and not self.is_ignored(message):
            named = account_said(message, names)
            if named is not None:
                return named
            if message.context_group_id is not None:
                return account_id(message.context_group_id)
        return account_in_force(self.user(message), message.at_ms, self.everything, names)

    def is_ignored(self, message: Message) -> bool:
        """Whether the account that it names does not count: it has limited trust, and its user is placed."""
        names = self.settings["accountIdNames"]
        return message.limited and is_placed(self.user(message), self.everything, names)

    def membership(self, message: Message) -> str | None:
        """The account of which an identify or group call makes its user a member: the one it says; one that is ignored
        only if it is the user's all the same."""
        said = account_fact(message, self.settings["accountIdNames"])
        return None if self.is_ignored(message) and said != self.account(message) else said

    def email(self, message: Message) -> str | None:
        """The one an identify says itself, else the user's e-mail in force."""
        said = email_said(message)
        return email_in_force(self.user(message), message.at_ms, self.everything) if said is None else said

    # -- what becomes of it

    def fate(self, message: Message) -> tuple[str, str]:
        """(state, reason) of a message from a connected source, when everything that can be delivered is."""
        reason = why_filtered(message, self.settings)
        if reason is not None:
            return "filtered", reason
        if message.type == "group" and self.membership(message) is None:
            return "filtered", "untrusted_account"
        if message.type == "identify":
            return ("filtered", "no_email") if self.email(message) is None else ("delivered", "")
        if message.type == "group":
            account = self.account(message)
            assert account is not None
            if self.settings["createCompanies"] or self.tenant.had_in_time(account):
                return "delivered", ""
            if self.waiting_is_over:
                return "filtered", "unknown_company"
            return ("delivered", "") if self.tenant.has(account) else ("parked", "unknown_company")
        if self.settings["eventObject"] is None and self.settings["usageObject"] is None:
            return "filtered", "switched_off"
        if self.account(message) is not None:
            return "delivered", ""
        if not self.waiting_is_over:
            return "parked", "no_account"
        return ("delivered", "") if self.settings["parkedThen"] == "deliver" else ("filtered", "no_account")

    # -- what Gainsight holds

    def held(self) -> Held:
        """Everything the messages say, as if every Company and Person were there."""
        wanted = [
            message
            for message in self.everything
            if message.source in self.connected and why_filtered(message, self.settings) is None
        ]
        tracks = [m for m in wanted if m.type == "track" and self.fate(m)[0] == "delivered"]
        groups = [m for m in wanted if m.type == "group" and self.membership(m) is not None]
        held = Held()
        self._companies(held, groups)
        self._people(held, [m for m in wanted if m.type == "identify"] + groups)
        if self.settings["eventObject"] is not None:
            held.events = {message.id: self.event_row(message) for message in tracks}
        if self.settings["usageObject"] is not None:
            self._usage(held, tracks)
        return held

    def _companies(self, held: Held, groups: Sequence[Message]) -> None:
        """Matched by the account field; the traits of every group call on the account."""
        mapping = mapping_of(COMPANY, self.settings["companyFields"])
        for account in {self.account(group) for group in groups}:
            assert account is not None
            said = [group for group in groups if self.account(group) == account]
            held.companies[account] = written(said, mapping, self.tenant.fields["company"])

    def _people(self, held: Held, calls: Sequence[Message]) -> None:
        """By e-mail. Traits come from identify calls; an account fact of either call links the Person to the Company;
        `title` goes to the link of the account in force."""
        fields = self.tenant.fields["person"]
        mapping = mapping_of(PERSON, self.settings["personFields"])
        for email in {self.email(call) for call in calls} - {None}:
            assert email is not None
            of_person = [call for call in calls if self.email(call) == email]
            identifies = [call for call in of_person if call.type == "identify"]
            person = {**written(identifies, mapping, fields), "Email": email}
            parts = [as_text(person[name]) for name in ("FirstName", "LastName") if person.get(name) not in (None, "")]
            if "Name" not in person and parts and "Name" in fields:
                person["Name"] = fit(" ".join(parts), fields["Name"])
            held.people[email] = person
            for account in {self.membership(call) for call in of_person} - {None}:
                assert account is not None
                on_account = [call for call in identifies if self.account(call) == account]
                title = last_said(on_account, ["title"], self.tenant.fields["link"]["Title"])
                held.links[email, account] = {} if title is SILENT else {"Title": title}

    def event_row(self, message: Message) -> Row:
        """One row per track, keyed by message id, which no mapping changes."""
        fields = self.tenant.fields["event"]
        row = {
            "Message_Id__gc": fit(message.id, fields["Message_Id__gc"]),
            "Event_Name__gc": fit(message.event, fields["Event_Name__gc"]),
            "Event_Time__gc": iso(message.at_ms),
            "User_Id__gc": fit(self.user(message).text, fields["User_Id__gc"]),
            "Account_Id__gc": fit(self.account(message), fields["Account_Id__gc"]),
            "Company_Id__gc": self.account(message),
            "Person_Id__gc": self.email(message),
            "Properties__gc": fit(message.said, fields["Properties__gc"]),
        }
        mapped = written([message], mapping_of({}, self.settings["eventFields"]), fields)
        return row | {name: value for name, value in mapped.items() if name != "Message_Id__gc"}

    def _usage(self, held: Held, tracks: Sequence[Message]) -> None:
        """Count, first and last time per account, user (grain `user`), event name and UTC day. The Person is that of
        the user's e-mail in force at the last of them."""
        fields, of_user = self.tenant.fields["usage"], self.settings["usageGrain"] == "user"

        def grain(message: Message) -> tuple[str | None, Identity | None, str, str]:
            user = self.user(message) if of_user else None
            return self.account(message), user, str(message.event), day(message.at_ms)

        for key in {grain(message) for message in tracks}:
            account, user, event, date = key
            times = [message.at_ms for message in tracks if grain(message) == key]
            row = {
                "Usage_Date__gc": date,
                "Event_Name__gc": fit(event, fields["Event_Name__gc"]),
                "Account_Id__gc": fit(account, fields["Account_Id__gc"]),
                "Company_Id__gc": account,
                "Event_Count__gc": len(times),
                "First_At__gc": iso(min(times)),
                "Last_At__gc": iso(max(times)),
                "Person_Id__gc": None,
            }
            if user is not None:
                row["User_Id__gc"] = fit(user.text, fields["User_Id__gc"])
                row["Person_Id__gc"] = email_in_force(user, max(times), self.everything)
            held.usage[key] = row

    def delivered(self, *, also_there: Collection[str] = ()) -> Held:
        """What of it can stand in the tenant: Companies that are there or may be created, and lookups of what is there.

        `also_there` are people who are in Gainsight for another reason.
        """
        held = self.held()
        create = self.settings["createCompanies"]
        created = {account for account in held.companies if create and not self.tenant.has(account)}

        def there(account: str | None) -> bool:
            return account is not None and (account in created or self.tenant.has(account))

        for account in created:
            held.companies[account] = {"Name": account, **held.companies[account]}
        held.companies = {account: row for account, row in held.companies.items() if there(account)}
        held.links = {(email, account): row for (email, account), row in held.links.items() if there(account)}
        people = {*held.people, *also_there}
        for row in (*held.events.values(), *held.usage.values()):
            if not there(row["Company_Id__gc"]):
                row["Company_Id__gc"] = None
            if row["Person_Id__gc"] not in people:
                row["Person_Id__gc"] = None
        return held
