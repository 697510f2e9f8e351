"""Which Gainsight records a message touches.

group: the Company of its account. identify: the Person of its e-mail. A group call also links the Person of its
user's e-mail. track: an event row, the daily usage of its account, user, event and UTC day, and the triggers
that it fires.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import structs

from gainsight_destination.destinations.contract import Contribution, Delivery, EventNames, Placement, Statement
from gainsight_destination.destinations.gainsight.settings import GainsightSettings
from gainsight_destination.destinations.gainsight.triggers import Triggers
from gainsight_destination.events.timestamps import utc_day

COMPANY: Final = "company"
PERSON: Final = "person"
EVENT: Final = "event"
USAGE: Final = "usage"
TRIGGER: Final = "trigger"

NO_ACCOUNT: Final = "no_account"
NO_EMAIL: Final = "no_email"
SWITCHED_OFF: Final = "switched_off"


class UsageKey(NamedTuple):
    """The grain of a daily usage record, in the store's ids. Grain `account`: no user. No account: 0."""

    account_id: int
    user_id: int | None
    event_id: int
    day: int

    @classmethod
    def parse(cls, text: str) -> "UsageKey":
        account_id, user_id, event_id, day = text.split("/")
        return cls(int(account_id), int(user_id) if user_id else None, int(event_id), int(day))


def place(delivery: Delivery, settings: GainsightSettings, triggers: Triggers, event_name: EventNames) -> Placement:
    """The records that a resolved message touches under these settings."""
    if delivery.type == "track":
        assert delivery.event_id is not None
        fired = triggers.keys_of(delivery, event_name(delivery.event_id)) if triggers else ()
        return _place_track(delivery, settings, fired)
    if delivery.type == "group":
        return _place_group(delivery)
    return _place_identify(delivery)


def placing_of(settings: GainsightSettings) -> Mapping[str, str]:
    """What `place` depends on: where event rows are, and where daily usage is and of what grain. Stored."""
    placing = {}
    if settings.event_object is not None:
        placing[EVENT] = settings.event_object
    if settings.usage_object is not None:
        placing[USAGE] = f"{settings.usage_object} by {settings.usage_grain}"
    return placing or {SWITCHED_OFF: ""}


def settings_placing(settings: GainsightSettings, placing: Mapping[str, str]) -> GainsightSettings:
    """These settings, but that they place as others did."""
    usage_object, _, grain = placing.get(USAGE, "").rpartition(" by ")
    return structs.replace(
        settings,
        event_object=placing.get(EVENT),
        usage_object=usage_object or None,
        usage_grain="account" if grain == "account" else "user",
    )


def _place_track(delivery: Delivery, settings: GainsightSettings, fired: Sequence[str]) -> Placement:
    if settings.event_object is None and settings.usage_object is None and not fired:
        return Placement(state="filtered", reason=SWITCHED_OFF)
    if delivery.account_id is None and not delivery.without_account:
        return Placement(state="parked", reason=NO_ACCOUNT)
    touched = [Contribution(TRIGGER, key) for key in fired]
    if settings.event_object is not None:
        touched.append(Contribution(EVENT, str(delivery.offset)))
    if settings.usage_object is not None:
        user_id = delivery.user_id if settings.usage_grain == "user" else ""
        key = f"{delivery.account_id or 0}/{user_id}/{delivery.event_id}/{utc_day(delivery.at_ms)}"  # see UsageKey
        touched.append(Contribution(USAGE, key, delivery.user_id))
    return Placement(tuple(touched))


def _place_group(delivery: Delivery) -> Placement:
    assert delivery.said_account is not None
    statement = Statement(account_id=delivery.said_account, says_member=delivery.said_account)
    company = Contribution(COMPANY, str(delivery.said_account), statement=statement)
    if delivery.email_id is None:
        return Placement((company,))
    membership = structs.replace(statement, has_traits=False)
    return Placement((company, Contribution(PERSON, str(delivery.email_id), statement=membership)))


def _place_identify(delivery: Delivery) -> Placement:
    if delivery.email_id is None:
        return Placement(state="filtered", reason=NO_EMAIL)
    says_member = None if delivery.untrusted else delivery.said_account
    statement = Statement(account_id=delivery.account_id, says_member=says_member)
    return Placement((Contribution(PERSON, str(delivery.email_id), statement=statement),))
