"""What was received: messages, duplicates of them, and what is discarded as Segment would."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = ("identify", "track", "group", "page", "screen", "alias")
SECONDS_BELOW = 31_557_600_000
"""Segment's date parser takes a smaller number for seconds, another for milliseconds."""


@dataclass(frozen=True)
class Receipt:
    """One item of an acknowledged request, with what it shares with the others of its request."""

    source: int
    received_at_ms: int
    item: Any
    via: str = "batch"
    """`batch`, `archive`, or the type of a single call, which its path says."""
    envelope: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A valid message. Ids are text; times are Unix milliseconds."""

    number: int
    """Its place among the receipts."""
    id: str
    source: int
    type: str
    user_id: str | None
    anonymous_id: str | None
    at_ms: int
    event: str | None
    group_id: str | None
    previous_id: str | None
    context_group_id: str | None
    integrations: Any
    consent: Any
    """`context.consent`; None is none."""
    said: Mapping[str, Any]
    """`traits` of an identify or group, else `properties`."""
    limited: bool
    """Whether its source has limited trust."""


@dataclass(frozen=True)
class Received:
    """Everything that was acknowledged, sorted out."""

    messages: Sequence[Message]
    duplicates: Sequence[Receipt]
    discarded: Sequence[tuple[Receipt, str]]


def sort_out(receipts: Sequence[Receipt], limited: Collection[int] = ()) -> Received:
    """A message id counts once, whatever its source; the first that was acknowledged wins. A discarded message does not
    use up its id."""
    messages: list[Message] = []
    duplicates: list[Receipt] = []
    discarded: list[tuple[Receipt, str]] = []
    for number, receipt in enumerate(receipts):
        reason = why_discarded(receipt)
        if reason is not None:
            discarded.append((receipt, reason))
            continue
        message = read(number, receipt, limited)
        if any(message.id == earlier.id for earlier in messages):
            duplicates.append(receipt)
        else:
            messages.append(message)
    return Received(messages, duplicates, discarded)


def text_of_id(value: Any) -> str | None:
    """Ids may be text or numbers. Numbers become decimal text. Empty and blank text is absent."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return str(value) if isinstance(value, int | float) else None


def id_as_kept(message_id: str | None) -> str | None:
    """A message id of more than 255 characters is cut, and its digest stands for what is lost."""
    if message_id is None or len(message_id) <= 255:
        return message_id
    return message_id[:222] + "-" + blake2b(message_id.encode(), digest_size=16).hexdigest()


def type_of(receipt: Receipt) -> Any:
    """The path of a single call says its type."""
    return receipt.item.get("type") if receipt.via in ("batch", "archive") else receipt.via


def why_discarded(receipt: Receipt) -> str | None:
    """Segment's reasons, for messages with one thing wrong; None when nothing is."""
    item = receipt.item
    if not isinstance(item, dict):
        return "bad_request"
    kind = type_of(receipt)
    if kind == "delete":
        return "deletion_request"
    if kind not in TYPES:
        return "type_not_supported"
    ids = {name: item.get(name) for name in ("userId", "anonymousId")}
    if kind in ("group", "alias"):
        ids["other"] = item.get("groupId" if kind == "group" else "previousId")
    if any(isinstance(value, bool | list | dict) for value in ids.values()):
        return "id_not_string"
    user, anonymous, other = (text_of_id(ids.get(name)) for name in ("userId", "anonymousId", "other"))
    if user is None and (anonymous is None or kind == "alias"):
        return "no_user_anon_id"
    if kind == "track" and item.get("event") in (None, ""):
        return "event_not_defined"
    if kind == "track" and not isinstance(item["event"], str):
        return "event_not_string"
    if kind == "group" and other is None:
        return "group_id_required"
    if kind == "alias" and other is None:
        return "previous_id_required"
    for name in ("name", "category"):
        if kind in ("page", "screen") and not isinstance(item.get(name), str | None):
            return f"{name}_not_string"
    if kind in ("identify", "group") and not isinstance(item.get("traits"), dict | None):
        return "traits_not_object"
    if kind in ("track", "page", "screen") and not isinstance(item.get("properties"), dict | None):
        return "properties_not_object"
    return None


def read(number: int, receipt: Receipt, limited: Collection[int]) -> Message:
    """A message that is not discarded. `context` and `integrations` of a batch apply to each item; what the item says
    itself wins."""
    item, kind = receipt.item, str(type_of(receipt))
    said = item.get("traits" if kind in ("identify", "group") else "properties")
    return Message(
        number=number,
        id=id_as_kept(text_of_id(item.get("messageId"))) or f"(without an id: {number})",
        source=receipt.source,
        type=kind,
        user_id=text_of_id(item.get("userId")),
        anonymous_id=text_of_id(item.get("anonymousId")),
        at_ms=happened_at_ms(receipt),
        event=item["event"] if kind == "track" else None,
        group_id=text_of_id(item.get("groupId")) if kind == "group" else None,
        previous_id=text_of_id(item.get("previousId")) if kind == "alias" else None,
        context_group_id=group_of_context(item.get("context")) or group_of_context(receipt.envelope.get("context")),
        integrations=integrations_of(item.get("integrations"), receipt.envelope.get("integrations")),
        consent=consent_of(item.get("context"), receipt.envelope.get("context")),
        said=said if isinstance(said, dict) else {},
        limited=receipt.source in limited,
    )


def group_of_context(context: Any) -> str | None:
    return text_of_id(context.get("groupId")) if isinstance(context, dict) else None


def consent_of(own: Any, of_envelope: Any) -> Any:
    """The message's own word wins over that of its batch."""
    for context in (own, of_envelope):
        if isinstance(context, dict) and context.get("consent") is not None:
            return context["consent"]
    return None


def integrations_of(own: Any, of_envelope: Any) -> Any:
    if isinstance(own, dict) and isinstance(of_envelope, dict):
        return {**of_envelope, **own}
    return of_envelope if own is None else own


def happened_at_ms(receipt: Receipt) -> int:
    """`receivedAt - (sentAt - timestamp)`. Without `sentAt` the `timestamp` counts as it is; without `timestamp` the
    time of receipt counts. In an archive the time is corrected already and is not corrected again."""
    said_ms = moment_ms(receipt.item.get("timestamp"))
    if said_ms is None:
        said_ms = moment_ms(receipt.item.get("originalTimestamp"))
    if said_ms is None:
        return receipt.received_at_ms
    sent_ms = moment_ms(receipt.item.get("sentAt"))
    if sent_ms is None:
        sent_ms = moment_ms(receipt.envelope.get("sentAt"))
    if receipt.via == "archive" or sent_ms is None:
        return said_ms
    return receipt.received_at_ms - (sent_ms - said_ms)


def moment_ms(value: Any) -> int | None:
    """ISO 8601, UTC unless it says otherwise, or an epoch number in seconds or milliseconds, which may be text. Eight
    digits are a day, four a year."""
    if isinstance(value, str):
        if value.isdecimal() and len(value) == 4:
            value += "0101"
        if value.isdecimal() and len(value) != 8:
            return moment_ms(int(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - EPOCH) // timedelta(milliseconds=1)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1000) if value < SECONDS_BELOW else int(value)
    return None


def iso(at_ms: int) -> str:
    """UTC, milliseconds."""
    return (EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def day(at_ms: int) -> str:
    """The UTC day."""
    return (EPOCH + timedelta(milliseconds=at_ms)).date().isoformat()
