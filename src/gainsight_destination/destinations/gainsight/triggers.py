"""Triggers: chosen track events that also fire an event of Gainsight's Events Framework.

A trigger is one record, of one message, delivered by one call. Gainsight stores nothing that could be looked up, so
when no answer comes it cannot be known whether the trigger fired: it is fired again, with the same `messageId`. Once it
has fired it never fires again, whatever is learned later. What is old, or came from an archive, does not
fire unless the settings say so: a person who is told of an event expects that it has just happened.

Where it comes from: Gainsight's page of the Events API for path, headers and body; clients in use for `topicName`.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    BatchRejectedError,
    Call,
    Calls,
    Correction,
    Deferred,
    Delivered,
    Delivery,
    Draft,
    MisconfiguredError,
    Outcome,
    Record,
    RecordReader,
    Rejected,
)
from gainsight_destination.destinations.gainsight.responses import is_refused_credential, read_answer
from gainsight_destination.destinations.gainsight.settings import GainsightSettings, Trigger
from gainsight_destination.events.event_names import to_no_case
from gainsight_destination.events.timestamps import iso_utc

EVENTS_PATH: Final = "/v1.0/api/eventManager/event"
LOOKED_AT: Final = 10
"""Triggers looked at together. Each is a call of its own, so this is only how many old ones are put away at once."""
NOT_FIRED: Final = "trigger_not_fired"
HOUR_MS: Final = 3_600_000
MEMORY: Final = 10_000


class Triggers:
    """The triggers of one configured destination."""

    def __init__(self, settings: GainsightSettings) -> None:
        self._settings = settings
        self._by_key = {key_of(trigger): trigger for trigger in settings.triggers}
        self._keys: dict[str, list[str]] = {}
        for key, trigger in self._by_key.items():
            self._keys.setdefault(to_no_case(trigger.event), []).append(key)
        self._known: dict[str, Sequence[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def keys_of(self, delivery: Delivery, event: str) -> Sequence[str]:
        """Keys of the trigger records that a track touches."""
        keys = self._known.get(event)
        if keys is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            keys = self._known[event] = self._keys.get(to_no_case(event), ())
        return [f"{delivery.offset}/{key}" for key in keys]

    def draft(self, reader: RecordReader, record: Record) -> Draft:
        offset, _, key = record.key.partition("/")
        delivery = reader.delivery(int(offset))
        trigger = self._by_key.get(key)
        fires = trigger is not None and delivery.state not in ("filtered", "parked")
        notices: tuple[tuple[str, str], ...] = ()
        assert delivery.event_id is not None
        event = reader.event_name(delivery.event_id)
        if fires and record.presence == "absent" and not self._is_timely(reader, record, delivery):
            fires, notices = False, ((NOT_FIRED, event),)
        return Draft(
            record,
            name=delivery.message_id,
            fields=self._body(reader, record, delivery, event) if fires else {},
            wanted=fires,
            notices=notices,
        )

    def _is_timely(self, reader: RecordReader, record: Record, delivery: Delivery) -> bool:
        """Whether the event had happened not long before it came to this, and came live. One tried again was timely."""
        arrival = reader.arrival(record, delivery.offset)
        if arrival == "retry":
            return True
        if arrival != "live" and not self._settings.trigger_imported:
            return False
        return record.dirty_since_ms - delivery.at_ms <= self._settings.trigger_hours * HOUR_MS

    def _body(self, reader: RecordReader, record: Record, delivery: Delivery, event: str) -> dict[str, Any]:
        """All properties, over them who, whose and when as they were resolved, and over all what a person corrected."""
        resolved = {
            "messageId": delivery.message_id,
            "event": event,
            "timestamp": iso_utc(delivery.at_ms),
            "userId": reader.identity(delivery.user_id),
            "accountId": None if delivery.account_id is None else reader.account(delivery.account_id),
            "email": None if delivery.email_id is None else reader.email(delivery.email_id),
        }
        known = {name: value for name, value in resolved.items() if value is not None}
        return corrected({**(reader.body(delivery.offset) or {}), **known}, reader.corrections(record.id))

    def call(self, draft: Draft) -> Call:
        trigger = self._by_key[draft.record.key.partition("/")[2]]
        settings = self._settings
        headers = {
            "sharedSecret": settings.shared_secret,
            "tenantId": settings.tenant_id,
            "topicName": trigger.topic_name,
            "eventName": trigger.event_name,
            "eventVersion": trigger.event_version,
        }
        named = tuple((name, value) for name, value in headers.items() if value is not None)
        return Call("POST", EVENTS_PATH, dict(draft.fields), headers=named)

    async def deliver(self, drafts: Sequence[Draft], calls: Calls) -> dict[int, Outcome]:
        """Fire the first that has not fired; the others follow with calls of their own."""
        outcomes: dict[int, Outcome] = {
            draft.record.id: Delivered(draft.record.delivered_digest or b"fired")
            for draft in drafts
            if draft.record.presence == "present"
        }
        waiting = [draft for draft in drafts if draft.record.id not in outcomes]
        outcomes |= {draft.record.id: Deferred(0, "its own call follows") for draft in waiting[1:]}
        for draft in waiting[:1]:
            outcomes[draft.record.id] = await self._fire(draft, calls)
        return outcomes

    async def _fire(self, draft: Draft, calls: Calls) -> Outcome:
        call = self.call(draft)
        answer = await calls.send(call, [draft.record])
        told = call._replace(headers=())  # goes into errors: without the shared secret
        try:
            read_answer(told, answer)
        except AuthenticationError as error:
            if not is_refused_credential(answer):
                raise
            raise MisconfiguredError(
                f"Gainsight refuses sharedSecret or tenantId ({_said(answer)}); no other object is affected",
                told,
                answer,
            ) from error
        except BatchRejectedError as error:
            return Rejected(error.code, f"{error} (is this event set up in its topic?)", told, answer)
        return Delivered(b"fired")


def corrected(fields: Mapping[str, Any], corrections: Mapping[str, Correction]) -> dict[str, Any]:
    """The fields of a record that no later message can change, as a person corrected them."""
    unset = {name for name, one in corrections.items() if one.unset}
    found = {**fields, **{name: one.value for name, one in corrections.items()}}
    return {name: value for name, value in found.items() if name not in unset}


def key_of(trigger: Trigger) -> str:
    """The same trigger after a restart and whatever is configured beside it. Stored."""
    content = json.dumps([trigger.topic_name, trigger.event_name, trigger.event_version, to_no_case(trigger.event)])
    return blake2b(content.encode(), digest_size=6).hexdigest()


def _said(answer: Answer) -> str:
    body = answer.body if isinstance(answer.body, dict) else {}
    return str(body.get("errorDesc") or f"HTTP {answer.status}")
