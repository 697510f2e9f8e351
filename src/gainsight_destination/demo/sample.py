"""A few days of a small B2B product, as calls to a Segment SDK, with what Gainsight must hold afterwards.

The calls are made up but of the kind that SDKs send: anonymous visits before sign-in, repeated identifies, page
noise, repeats of the same message, events nobody asked for, users without an e-mail, an account that Gainsight does
not know. What must come of them is written down while they are made, without the product's own code.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

WANTED_EVENTS: Final = ("Report Viewed", "Report Exported", "Dashboard Created", "Invite Sent", "Alert Configured")
SPELLINGS: Final = {"Report Viewed": ("Report Viewed", "report_viewed", "reportViewed")}
OTHER_EVENTS: Final = ("Tooltip Shown", "Search Typed", "Menu Opened")
UNKNOWN_ACCOUNT: Final = "0019X00000Zz9ZzQAJ"
FIRST_NAMES: Final = ("Ada", "Bo", "Chen", "Dana", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kai", "Lena")
LAST_NAMES: Final = ("Abel", "Brandt", "Costa", "Diaz", "Engel", "Fox", "Gray", "Haas", "Ito")
TITLES: Final = ("CTO", "Analyst", "Admin", "Head of Data")


@dataclass(frozen=True, slots=True)
class SdkCall:
    """One call of the SDK: the method's name and its keyword arguments. `source` is website or server."""

    source: str
    method: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Expected:
    """What Gainsight must hold, and how the books must read."""

    events: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """message id -> (account, user, event name)"""
    usage: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """(account, user, event name, day) -> count"""
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    companies: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: int = 0
    duplicates: int = 0
    discarded: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    parked: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Sample:
    """Calls in the order in which they are sent, and what must come of them."""

    calls: list[SdkCall] = field(default_factory=list)
    expected: Expected = field(default_factory=Expected)
    showcase_message_id: str = ""
    """An event of an anonymous visit that is joined to a user and an account only by what comes after it."""


@dataclass(frozen=True, slots=True)
class _User:
    id: str
    anonymous_id: str
    account: str
    first_name: str
    last_name: str
    title: str
    email: str | None


def make_sample(accounts: Sequence[str], now: datetime) -> Sample:
    """Make the sample for Companies with these Salesforce account ids (at least four), ending before `now`."""
    return _Maker(accounts, now).make()


class _Maker:
    def __init__(self, accounts: Sequence[str], now: datetime) -> None:
        self._chance = random.Random(2026)  # noqa: S311 - a sample that is the same each time
        self._accounts = list(accounts)[:4]
        self._today = now.astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
        self._sample = Sample()
        self._expected = self._sample.expected
        self._number = 0

    def make(self) -> Sample:
        users = self._users()
        for account in (*self._accounts, UNKNOWN_ACCOUNT):
            self._account(account, next(user for user in users if user.account == account))
        for user in users:
            self._visits_before_sign_in(user)
            self._sessions(user)
        self._visitors_who_never_sign_in()
        self._oddities(users)
        self._repeats()
        self._expected.received = len(self._sample.calls)
        return self._sample

    def _users(self) -> list[_User]:
        users = []
        for number in range(36):
            account = (*self._accounts, UNKNOWN_ACCOUNT)[number % 5]
            first, last = FIRST_NAMES[number % 12], LAST_NAMES[number % 9]
            email = None if number in (7, 19) else f"{first}.{last}{number}@example.com".lower()
            users.append(_User(f"user-{number}", f"anon-{number}", account, first, last, TITLES[number % 4], email))
        return users

    # -- one call

    def _call(self, method: str, days_ago: int, source: str = "server", **arguments: Any) -> str:
        self._number += 1
        minutes = self._chance.randrange(-600, 600)
        moment = self._today - timedelta(days=days_ago) + timedelta(minutes=minutes)
        message_id = f"demo-{self._number}"
        self._sample.calls.append(SdkCall(source, method, {**arguments, "timestamp": moment, "message_id": message_id}))
        self._last_day = moment.date().isoformat()
        return message_id

    def _event(self, account: str, owner: str, days_ago: int, **who: str) -> None:
        """A track call: wanted or not, spelled as somebody spelled it."""
        if self._chance.random() < 0.3:
            self._call("track", days_ago, **who, event=self._chance.choice(OTHER_EVENTS))
            self._expected.filtered["event_not_listed"] += 1
            return
        wanted = self._chance.choice(WANTED_EVENTS)
        event = self._chance.choice(SPELLINGS.get(wanted, (wanted,)))
        properties = {"rows": self._chance.randrange(5_000), "plan": self._chance.choice(("gold", "silver"))}
        message_id = self._call("track", days_ago, **who, event=event, properties=properties)
        self._expected.events[message_id] = (account, owner, event)
        self._expected.usage[account, owner, event, self._last_day] += 1

    # -- stories

    def _account(self, account: str, first_user: _User) -> None:
        """Group calls of an account; the last one says how many employees it has."""
        for employees in (100, 120, 140):
            traits = {"industry": "Software", "employees": str(employees), "plan": "enterprise"}
            self._sample.calls.append(
                SdkCall(
                    "server",
                    "group",
                    {
                        "user_id": first_user.id,
                        "group_id": account,
                        "traits": traits,
                        "timestamp": self._today - timedelta(days=3) + timedelta(minutes=employees),
                        "message_id": f"demo-group-{account}-{employees}",
                    },
                )
            )
        if account == UNKNOWN_ACCOUNT:
            self._expected.parked["unknown_company"] += 3
        else:
            self._expected.companies[account] = {"Industry": "Software", "Employees": 140}

    def _visits_before_sign_in(self, user: _User) -> None:
        for _ in range(4):
            self._call("page", 3, "website", anonymous_id=user.anonymous_id, name="Pricing")
            self._expected.filtered["unsupported_type"] += 1
            events_before = len(self._expected.events)
            self._event(user.account, user.id, 3, source="website", anonymous_id=user.anonymous_id)
            if len(self._expected.events) > events_before and self._is_joined_by_sign_in(user):
                self._sample.showcase_message_id = self._sample.showcase_message_id or f"demo-{self._number}"

    def _is_joined_by_sign_in(self, user: _User) -> bool:
        """Whether only this user's own sign-in says who and where he is: no group call names him."""
        named_by_group = {call.arguments["user_id"] for call in self._sample.calls if call.method == "group"}
        return user.account != UNKNOWN_ACCOUNT and user.email is not None and user.id not in named_by_group

    def _sessions(self, user: _User) -> None:
        """Days of work: each session signs in again and says the same of the user."""
        traits: dict[str, Any] = {
            "firstName": user.first_name,
            "lastName": user.last_name,
            "title": user.title,
            "accountId": user.account[:15] if user.id.endswith("5") else user.account,
        }
        if user.email is not None:
            traits["email"] = user.email
            self._expected.people[user.email] = {
                "FirstName": user.first_name,
                "LastName": user.last_name,
                "Name": f"{user.first_name} {user.last_name}",
            }
        for days_ago in (2, 1, 0):
            for _ in range(2):
                self._call(
                    "identify",
                    days_ago,
                    "website",
                    user_id=user.id,
                    anonymous_id=user.anonymous_id,
                    traits=traits,
                )
                if user.email is None:
                    self._expected.filtered["no_email"] += 1
            for _ in range(18):
                self._event(user.account, user.id, days_ago, user_id=user.id)
            for name in ("Home", "Reports"):
                self._call("page", days_ago, "website", user_id=user.id, name=name)
                self._expected.filtered["unsupported_type"] += 1

    def _visitors_who_never_sign_in(self) -> None:
        for number in range(10):
            for _ in range(4):
                self._call(
                    "track", 1, "website", anonymous_id=f"visitor-{number}", event=self._chance.choice(WANTED_EVENTS)
                )
                self._expected.parked["no_account"] += 1

    def _oddities(self, users: Sequence[_User]) -> None:
        for user in users[:3]:
            self._call("track", 0, user_id=user.id, event="Report Viewed", integrations={"All": False})
            self._expected.filtered["integrations_object"] += 1
            self._call("track", 0, user_id=user.id, event="")
            self._expected.discarded["event_not_defined"] += 1

    def _repeats(self) -> None:
        """Some calls are sent twice, as after a lost answer. A call that is discarded has no repeats."""
        sent_once = [call for call in self._sample.calls if call.arguments.get("event") != ""]
        repeated = self._chance.sample(sent_once, 60)
        self._sample.calls.extend(repeated)
        self._expected.duplicates = len(repeated)
