"""Explains one message: what came, what was decided and by which rule and evidence, and what became of it."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from gainsight_destination.deliver import call_book, failures, pauses
from gainsight_destination.deliver.reader import StoreReader
from gainsight_destination.destinations.contract import Connected, Delivery
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.events.account_ids import doubt
from gainsight_destination.events.message import GROUP_ID, Message, decode_body, message_id_text, messages_of
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.records import deliveries
from gainsight_destination.records.past_rules import placed_anew
from gainsight_destination.resolve.duplicates import find
from gainsight_destination.resolve.facts import Fact
from gainsight_destination.resolve.identities import ANONYMOUS, USER, IdentityGraph
from gainsight_destination.resolve.resolution import place
from gainsight_destination.resolve.said import SaidReader
from gainsight_destination.resolve.trust import limited_sources

COMPANY = "company"
KINDS = {USER: "userId", ANONYMOUS: "anonymousId"}


def trace(
    connection: sqlite3.Connection, log: EventLog, destinations: Sequence[Connected], message_id: str
) -> dict[str, Any] | None:
    """The story of a message, JSON-able; None when the id is not remembered. One read transaction."""

    def message_at(offset: int) -> Message | None:
        logged = log.entry_of(offset)
        return None if logged is None else messages_of(logged).get(offset)

    found = find(connection, message_id_text(message_id) or message_id, message_at)
    if found is None:
        return None
    _, offset, _, route_id = found
    (route,) = connection.execute("SELECT decisions FROM routes WHERE id = ?", (route_id,)).fetchone()
    decisions = json.loads(route) | {str(id_): None for id_ in sorted(placed_anew(connection, offset))}
    message = message_at(offset)
    names = dict(connection.execute("SELECT id, name FROM destinations"))
    sources = dict(connection.execute("SELECT id, name FROM sources"))
    by_id = {connected.id: connected for connected in destinations}
    return {
        "messageId": message_id,
        "offset": offset,
        "message": None if message is None else _message(message, sources, limited_sources(connection)),
        "destinations": {
            names.get(int(destination_id), destination_id): (
                {"state": "filtered", "reason": reason}
                if reason is not None
                else _Story(connection, log, by_id.get(int(destination_id))).tell(int(destination_id), offset, message)
            )
            for destination_id, reason in decisions.items()
        },
    }


def _message(message: Message, sources: dict[int, str], limited: frozenset[int]) -> dict[str, Any]:
    told = {
        "type": message.type,
        "source": sources.get(message.source_id, str(message.source_id)),
        "userId": message.user_id,
        "anonymousId": message.anonymous_id,
        "event": message.event,
        "groupId": message.group_id,
        "previousId": message.previous_id,
        "timestamp": iso_utc(message.at_ms),
        "receivedAt": iso_utc(message.received_at_ms),
        "body": decode_body(message.body),
    }
    if message.previous_id is not None and message.source_id in limited:
        told["ignored"] = f"{told['source']} has limited trust: previousId is read as an anonymousId, not as a userId"
    return {name: value for name, value in told.items() if value is not None}


class _Story:
    """What one destination decided about a message."""

    def __init__(self, connection: sqlite3.Connection, log: EventLog, connected: Connected | None) -> None:
        self._connection = connection
        self._connected = connected
        names = (connected.destination.account_names,) if connected else ()
        limited = limited_sources(connection)
        self._graph = IdentityGraph(connection, frozenset(names), limited)
        self._believing = IdentityGraph(connection, frozenset(names)) if limited else self._graph
        self._said = SaidReader(names[0] if names else ())
        self._reader = StoreReader(connection, connected.id if connected else 0, log)

    def tell(self, destination_id: int, offset: int, message: Message | None) -> dict[str, Any]:
        delivery = deliveries.get(self._connection, destination_id, offset)
        if delivery is None:
            return {"state": "settled", "note": "settled long ago; what became of it in detail is no longer kept"}
        told: dict[str, Any] = {"state": delivery.state}
        if delivery.reason:
            told["reason"] = delivery.reason
        if delivery.state == "pending" and (trouble := self._trouble(destination_id)):
            told["note"] = trouble
        if self._connected is not None and any(spec.ordered for spec in self._connected.destination.objects):
            return told | {"sent": "as it came", "records": self._records(destination_id, delivery)}
        told["user"] = self._user(delivery)
        told["account"] = self._account(delivery, message)
        told["email"] = self._email(delivery, message)
        told["records"] = self._records(destination_id, delivery)
        return told

    def _trouble(self, destination_id: int) -> str | None:
        """Why nothing goes there now, whatever is said below of when it would."""
        if pause := next(iter(pauses.select(self._connection, destination_id).values()), None):
            return f"the destination is paused{f' for {pause.object}' if pause.object else ''}: {pause.reason}"
        failure = failures.select(self._connection, destination_id)
        return failure and f"the destination is in trouble: {failure.reason}"

    def _user(self, delivery: Delivery) -> dict[str, Any]:
        told: dict[str, Any] = {"id": self._reader.identity(delivery.user_id)}
        link = self._graph.link_in_force(delivery.identity_id, delivery.at_ms)
        if delivery.user_id == delivery.identity_id or link is None:
            (kind,) = self._connection.execute(
                "SELECT kind FROM identities WHERE id = ?", (delivery.identity_id,)
            ).fetchone()
            return told | {"rule": f"the message's own {KINDS[kind]}"}
        return told | {
            "rule": "linked",
            "from": self._reader.identity(delivery.identity_id),
            **self._evidence(link, delivery),
        }

    def _account(self, delivery: Delivery, message: Message | None) -> dict[str, Any]:
        if delivery.account_id is None:
            return {"id": None, "rule": "no account is known for this user"}
        account = self._reader.account(delivery.account_id)
        told: dict[str, Any] = {"id": account}
        ignored = self._ignored(delivery)
        if ignored is not None:
            told["ignored"] = ignored
        doubtful = doubt(account)
        if doubtful is not None:
            told["warning"] = f"this may not be a Salesforce Account id: {doubtful}"
        if self._company_is_absent(account):
            told["company"] = "Gainsight has no Company of this account; it is looked for again by itself"
        if delivery.said_account is not None and delivery.type == "group" and not delivery.untrusted:
            return told | {"rule": "the call's groupId"}
        if delivery.said_account is not None and delivery.type == "track" and not delivery.untrusted:
            return told | {"rule": self._said_where(message)}
        assert self._connected is not None
        names = self._connected.destination.account_names
        fact = self._graph.account_in_force(delivery.user_id, delivery.at_ms, names)
        if fact is None:
            return told
        return told | {"rule": self._fact_rule(fact), **self._evidence(fact, delivery)}

    def _ignored(self, delivery: Delivery) -> str | None:
        """The account that a source of limited trust says, in vain: in this message, or in the fact that would hold."""
        assert self._connected is not None
        names = self._connected.destination.account_names
        held = self._graph.placed_account_in_force(delivery.user_id, delivery.at_ms, names)
        if held is None:
            return None
        if delivery.untrusted and delivery.said_account is not None:
            ignored, where, source = delivery.said_account, "this message", self._source(delivery.source_id)
        else:
            other = self._believing.account_in_force(delivery.user_id, delivery.at_ms, names)
            if delivery.said_account is not None or other is None or other.value == held.value:
                return None
            ignored, where, source = other.value, f"message {other.message_id}", self._source(self._said_by(other)[1])
        _, trusted = self._said_by(held)
        return (
            f"{self._reader.account(ignored)}, said by {where}: {source} has limited trust,"
            f" and the account fact of {self._source(trusted)} from message {held.message_id} is in force"
        )

    def _source(self, source_id: int) -> str:
        row = self._connection.execute("SELECT name FROM sources WHERE id = ?", (source_id,)).fetchone()
        return "a source that is not known any more" if row is None else f"source {row[0]}"

    def _said_by(self, fact: Fact) -> tuple[str, int]:
        """(trait or GROUP_ID, source) of an account fact."""
        row = self._connection.execute(
            "SELECT name, source_id FROM account_facts WHERE message_id = ? AND at_ms = ? AND account_id = ?",
            (fact.message_id, fact.at_ms, fact.value),
        ).fetchone()
        return ("", 0) if row is None else (row[0], row[1])

    def _company_is_absent(self, account: str) -> bool:
        """Whether the Company was looked for and is not there."""
        row = self._connection.execute(
            "SELECT remote_id FROM references_known WHERE destination_id = ? AND object = ? AND name = ?",
            (self._connected.id if self._connected else 0, COMPANY, account),
        ).fetchone()
        return row is not None and row[0] is None

    def _said_where(self, message: Message | None) -> str:
        if message is None or self._connected is None:
            return "named by the message itself"
        properties = decode_body(message.body)
        for name in self._connected.destination.account_names:
            if properties.get(name) not in (None, ""):
                return f"properties.{name}"
        return "context.groupId"

    def _fact_rule(self, fact: Fact) -> str:
        name, _ = self._said_by(fact)
        said_by = "a group call" if name == GROUP_ID else f"traits.{name} of an identify call" if name else ""
        return f"the user's account in force then, said by {said_by}"

    def _email(self, delivery: Delivery, message: Message | None) -> dict[str, Any]:
        told: dict[str, Any] = {"address": None}
        if message is not None and self._said.read(message).odd_email:
            told["warning"] = "traits.email of the message has not the shape of an address and is not used"
        if delivery.email_id is None:
            return told | {"rule": "no e-mail is known for this user"}
        told["address"] = self._reader.email(delivery.email_id)
        if delivery.said_email is not None:
            return told | {"rule": "traits.email of the message"}
        fact = self._graph.email_in_force(delivery.user_id, delivery.at_ms)
        return told if fact is None else told | {"rule": "the user's e-mail in force", **self._evidence(fact, delivery)}

    @staticmethod
    def _evidence(fact: Fact, delivery: Delivery) -> dict[str, str]:
        later = fact.at_ms > delivery.at_ms
        evidence = {"message": fact.message_id, "since": iso_utc(fact.at_ms)}
        return evidence | ({"note": "said later; nothing earlier was known"} if later else {})

    def _records(self, destination_id: int, delivery: Delivery) -> list[dict[str, Any]]:
        if self._connected is None:
            return []
        found = []
        own = {spec.name for spec in self._connected.destination.objects if spec.per_message}
        for contribution in place(delivery, self._connected.destination, self._reader.event_name).contributions:
            where, values = (
                ("id = ?", (delivery.own_record,))
                if contribution.object in own
                else (
                    "destination_id = ? AND object = ? AND key = ? AND shared = 1",
                    (destination_id, contribution.object, contribution.key),
                )
            )
            row = self._connection.execute(
                "SELECT id, last_call, state, reason, attempts, due_at_ms, dirty_since_ms, remote_id FROM records"
                f" WHERE {where}",
                values,
            ).fetchone()
            if row is not None:
                record_id, last_call, *stands = row
                told = self._record(*stands) | self._call(last_call) | self._letters(record_id)
                found.append({"object": contribution.object, **told})
        return found

    def _call(self, call_id: int | None) -> dict[str, Any]:
        """The last call that carried a record, as long as it is in the book."""
        call = None if call_id is None else call_book.find(self._connection, call_id)
        if call is None:
            return {}
        return {
            "lastCall": {
                "at": iso_utc(call.at_ms),
                "method": call.method,
                "path": call.path,
                "records": call.records,
                "outcome": call.outcome,
                "milliseconds": call.milliseconds,
            }
        }

    def _letters(self, record_id: int) -> dict[str, Any]:
        """The dead letters of a record, newest first."""
        rows = self._connection.execute(
            "SELECT id, state FROM dead_letters WHERE record_id = ? ORDER BY id DESC LIMIT 20", (record_id,)
        ).fetchall()
        return {"deadLetters": [{"id": letter_id, "state": state} for letter_id, state in rows]} if rows else {}

    def _record(
        self, state: str, reason: str, attempts: int, due_at_ms: int, dirty_since_ms: int, remote_id: str | None
    ) -> dict[str, Any]:
        told: dict[str, Any] = {"state": state}
        if reason:
            told["reason"] = reason
        if remote_id:
            told["gsid"] = remote_id
        if state == "parked":
            told |= {"attempts": attempts, "nextAttempt": iso_utc(due_at_ms)}
        elif state == "dirty":
            assert self._connected is not None
            patience_ms = round(self._connected.destination.limits.flush_seconds * 1000)
            told |= {"attempts": attempts, "nextAttempt": iso_utc(max(due_at_ms, dirty_since_ms + patience_ms))}
        return told
