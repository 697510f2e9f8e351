"""What Segment accepts, discards and mends: messages read from logged entries."""

import json
from typing import Any

import pytest

from gainsight_destination.eventlog.contract import Entry, EntryKind, LoggedEntry
from gainsight_destination.events.message import MAX_MESSAGE_BYTES, Discarded, Message, read_entry

RECEIVED_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z


def read(body: bytes, kind: EntryKind = EntryKind.BATCH, count: int = 1) -> list[Message | Discarded]:
    return list(read_entry(LoggedEntry(100, Entry(7, kind, RECEIVED_MS, count, body))))


def one(item: object, envelope: dict[str, Any] | None = None) -> Message | Discarded:
    (found,) = read(json.dumps({"batch": [item], **(envelope or {})}).encode())
    return found


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "track", "event": "E"}, "no_user_anon_id"),
        ({"type": "track", "event": "E", "userId": "", "anonymousId": None}, "no_user_anon_id"),
        ({"type": "track", "event": "E", "userId": True}, "id_not_string"),
        ({"type": "track", "event": "E", "userId": {"a": 1}}, "id_not_string"),
        ({"type": "track", "event": "E", "userId": "u", "anonymousId": []}, "id_not_string"),
        ({"type": "track", "userId": "u"}, "event_not_defined"),
        ({"type": "track", "userId": "u", "event": ""}, "event_not_defined"),
        ({"type": "track", "userId": "u", "event": 5}, "event_not_string"),
        ({"type": "track", "userId": "u", "event": "E", "properties": []}, "properties_not_object"),
        ({"type": "track", "userId": "u", "event": "E", "properties": "x"}, "properties_not_object"),
        ({"type": "identify", "userId": "u", "traits": []}, "traits_not_object"),
        ({"type": "group", "userId": "u", "groupId": "g", "traits": 1}, "traits_not_object"),
        ({"type": "group", "userId": "u"}, "group_id_required"),
        ({"type": "group", "groupId": "g"}, "no_user_anon_id"),
        ({"type": "alias", "userId": "u"}, "previous_id_required"),
        ({"type": "alias", "previousId": "p", "anonymousId": "a"}, "no_user_anon_id"),
        ({"type": "page", "userId": "u", "name": 3}, "name_not_string"),
        ({"type": "screen", "userId": "u", "category": {}}, "category_not_string"),
        ({"userId": "u", "event": "E"}, "type_not_supported"),
        ({"type": "Track", "userId": "u", "event": "E"}, "type_not_supported"),
        ({"type": 4, "userId": "u"}, "type_not_supported"),
        ([], "bad_request"),
        ("text", "bad_request"),
        (None, "bad_request"),
        (
            {"type": "track", "userId": "u", "event": "E", "properties": {"x": "y" * MAX_MESSAGE_BYTES}},
            "message_too_large",
        ),
    ],
)
def test_discarded_under_a_reason(item: object, reason: str) -> None:
    """What Segment discards after a 200 is discarded here, under one reason code."""
    assert one(item) == Discarded(100, 7, reason)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"userId": 12, "anonymousId": None}, {"user_id": "12", "anonymous_id": None}),
        ({"userId": 12.0}, {"user_id": "12"}),
        ({"userId": "  ", "anonymousId": "a"}, {"user_id": None, "anonymous_id": "a"}),
        ({"userId": "u", "messageId": 77}, {"message_id": "77"}),
        ({"userId": "u", "context": []}, {"context_group_id": None}),
        ({"userId": "u", "context": {"groupId": 5}}, {"context_group_id": "5"}),
        ({"userId": "u", "context": {"groupId": {"x": 1}}}, {"context_group_id": None}),
        ({"userId": "u", "properties": None}, {"body": b"{}"}),
        ({"userId": "u", "integrations": False}, {"integrations": False}),
        ({"userId": "u", "timestamp": {"no": "date"}}, {"at_ms": RECEIVED_MS}),
        ({"userId": "u", "name": ""}, {"type": "track"}),
    ],
)
def test_mended(item: dict[str, Any], expected: dict[str, Any]) -> None:
    """What SDKs are known to send is taken, with the odd parts mended."""
    found = one({"type": "track", "event": "E", **item})
    assert isinstance(found, Message)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ({"type": "identify", "context": {"traits": {"a": 1}}}, {"a": 1}),
        ({"type": "identify", "context": {"traits": {"a": 1}}, "traits": None}, {"a": 1}),
        ({"type": "identify", "context": {"traits": {"a": 1}}, "traits": {}}, {}),
        ({"type": "identify", "context": {"traits": [1]}}, {}),
        ({"type": "identify", "context": {"traits": {"a": 1}, "groupId": {}}}, {"a": 1}),
        ({"type": "group", "groupId": "g", "context": {"traits": {"a": 1}}}, {}),
        ({"type": "track", "event": "E", "context": {"traits": {"a": 1}}}, {}),
    ],
)
def test_traits_of_the_context(item: dict[str, Any], body: dict[str, Any]) -> None:
    """An identify without traits has those of its context, where RudderStack's SDKs put them; no other call has."""
    found = one({"userId": "u", **item})
    assert isinstance(found, Message)
    assert json.loads(found.body) == body


def test_one_bad_item_leaves_the_others(tmp_path: object) -> None:
    """Good items of a batch are read beside bad ones, each with its own offset."""
    good = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}
    found = read(json.dumps({"batch": [good, 5, good]}).encode(), count=3)
    assert [item.offset for item in found] == [100, 101, 102]
    assert [isinstance(item, Message) for item in found] == [True, False, True]


def test_type_comes_from_the_route() -> None:
    """A single post has the type of its route, whatever it says itself."""
    (found,) = read(b'{"type":"group","userId":"u","event":"E"}', EntryKind.TRACK)
    assert isinstance(found, Message)
    assert found.type == "track"


def test_envelope_is_merged_and_the_item_wins() -> None:
    """`context` and `integrations` of the envelope hold for every item; the item's own word is nearer."""
    envelope = {"context": {"groupId": "g1"}, "integrations": {"All": False, "Gainsight": True}}
    item = {"type": "track", "userId": "u", "event": "E"}
    plain, own = (
        one(item, envelope),
        one({**item, "integrations": {"All": True}, "context": {"groupId": "g2"}}, envelope),
    )
    assert isinstance(plain, Message)
    assert isinstance(own, Message)
    assert (plain.context_group_id, plain.integrations) == ("g1", {"All": False, "Gainsight": True})
    assert (own.context_group_id, own.integrations) == ("g2", {"All": True, "Gainsight": True})


def test_clock_skew_is_corrected() -> None:
    """timestamp = received - (sent - original), with the item's sentAt before the envelope's."""
    item = {"type": "track", "userId": "u", "event": "E", "timestamp": "2027-01-15T09:00:00Z"}
    found = one(item, {"sentAt": "2027-01-15T09:00:02Z"})
    assert isinstance(found, Message)
    assert found.at_ms == RECEIVED_MS - 2_000
    nearer = one({**item, "sentAt": "2027-01-15T09:00:01Z"}, {"sentAt": "2027-01-15T09:00:02Z"})
    assert isinstance(nearer, Message)
    assert nearer.at_ms == RECEIVED_MS - 1_000


def test_archives_are_not_corrected_again() -> None:
    """In an archive `timestamp` is final."""
    body = json.dumps(
        [
            {
                "type": "track",
                "userId": "u",
                "event": "E",
                "timestamp": "2026-01-01T00:00:00Z",
                "sentAt": "2026-01-01T01:00:00Z",
            }
        ]
    ).encode()
    (found,) = read(body, EntryKind.ARCHIVE)
    assert isinstance(found, Message)
    assert found.at_ms == 1_767_225_600_000


def test_generated_message_ids_are_stable_and_distinct() -> None:
    """Messages without an id get one that is the same each time the entry is read."""
    body = json.dumps({"batch": [{"type": "track", "userId": "u", "event": "E"}] * 2}).encode()
    first, again = read(body, count=2), read(body, count=2)
    assert first == again
    assert len({item.message_id for item in first if isinstance(item, Message)}) == 2


def test_invalid_unicode_is_replaced() -> None:
    """Bytes that are no UTF-8 become U+FFFD and nothing is lost."""
    (found,) = read(b'{"batch":[{"type":"track","userId":"u\xff","event":"E","properties":{"x":"\xff"}}]}')
    assert isinstance(found, Message)
    assert found.user_id == "u\ufffd"
    assert json.loads(found.body) == {"x": "\ufffd"}


def test_excess_of_a_batch_is_discarded() -> None:
    """Of more than 2,500 messages the first 2,500 are read."""
    items = [{"type": "page", "userId": "u"}] * 2_502
    found = read(json.dumps({"batch": items}).encode(), count=2_502)
    assert [item.reason for item in found if isinstance(item, Discarded)] == ["batch_too_long"] * 2


@pytest.mark.parametrize("kind", [EntryKind.SOURCE_DISABLED, EntryKind.UNKNOWN_SOURCE])
def test_messages_kept_as_a_count(kind: EntryKind) -> None:
    """Messages of disabled or unknown sources are counted, each one."""
    assert {item.reason for item in read(b"", kind, 3) if isinstance(item, Discarded)} == {kind.name.lower()}
    assert len(read(b"", kind, 3)) == 3
