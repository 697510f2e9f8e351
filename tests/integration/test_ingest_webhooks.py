"""Webhook sources over real HTTP: who may send, what is stored, and what a sender is answered."""

import base64
import gzip
import hmac
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as StandardSender
from structlog.testing import capture_logs
from tests.support.ingest import NOW_MS, WEBSITE, Ingest, running_ingest
from tests.support.pipeline import Pipeline, at, track

from gainsight_destination.destinations.webhook.destination import signatures
from gainsight_destination.eventlog.contract import EntryKind, LoggedEntry
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.events.message import Discarded, Message, read_entry
from gainsight_destination.ingest import limits
from gainsight_destination.observe import metrics
from gainsight_destination.workspace.model import Sender, Source, SourceKind, UnsignedTail, Webhook

NEW, OLD = "new-secret-0123456789", "old-secret-0123456789"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_OLD = base64.b64encode(bytes(range(32))).decode()
BEARER = {"Authorization": f"Bearer {NEW}"}
SUCCESS = {"success": True}


def hook(id_: int, name: str, webhook: Webhook, *, enabled: bool = True) -> Source:
    return Source(id_, name, f"Key-{name}", enabled, SourceKind.WEBHOOK, webhook=webhook)


SOURCES = (
    WEBSITE,
    hook(3, "segment", Webhook(Sender.SEGMENT, (NEW, OLD))),
    hook(4, "lenient", Webhook(Sender.SEGMENT, (NEW,), UnsignedTail.ACCEPT)),
    hook(5, "rudderstack", Webhook(Sender.RUDDERSTACK, (NEW, OLD))),
    hook(6, "jitsu", Webhook(Sender.JITSU, (NEW,))),
    hook(7, "standard", Webhook(Sender.STANDARD, (STANDARD, STANDARD_OLD))),
    hook(8, "retired", Webhook(Sender.SEGMENT, (NEW,)), enabled=False),
)
MESSAGE = (
    b'{"type":"track","event":"Sold \\u20ac\xe2\x82\xac","userId":"u-1","messageId":"m-1","originalTimestamp":'
    b'"2026-11-23T10:00:00.000Z","sentAt":"2026-11-23T10:00:05.000Z","receivedAt":"2026-11-23T10:00:05.250Z",'
    b'"timestamp":"2026-11-23T10:00:00.250Z","properties":{"revenue":1.0,"huge":1e+21,"tiny":1e-7}}'
)
"""As Segment delivers it; a Python that writes it again writes other bytes."""
SECOND = b'{"type":"identify","userId":"u-1","messageId":"m-2","traits":{},"timestamp":"2026-11-23T10:00:01Z"}'


def sha1(content: bytes, secret: str = NEW) -> str:
    return hmac.digest(secret.encode(), content, "sha1").hex()


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Ingest]:
    async with running_ingest(tmp_path, sources=SOURCES) as running:
        yield running


@pytest.fixture
async def client(ingest: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=ingest.url) as opened:
        yield opened


async def send(
    client: httpx.AsyncClient, name: str, body: bytes, headers: dict[str, str], method: str = "POST"
) -> tuple[int, dict[str, Any]]:
    answer = await client.request(method, f"/v1/webhook/Key-{name}", content=body, headers=headers)
    return answer.status_code, answer.json()


def messages(ingest: Ingest) -> list[Message | Discarded]:
    return [item for entry in ingest.entries() for item in read_entry(LoggedEntry(0, entry))]


def refusals(name: str, reason: str) -> float:
    return metrics.ingest_refused_webhooks.labels(name, reason)._value.get()


# -- Segment


async def test_a_signed_message_of_segment_is_stored(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Either secret signs; the bytes are kept as an archive of one, and the corrected date is not corrected again."""
    for method, secret in [("POST", NEW), ("PUT", OLD), ("PATCH", NEW)]:
        assert await send(client, "segment", MESSAGE, {"X-Signature": sha1(MESSAGE, secret)}, method) == (200, SUCCESS)
    assert {(entry.source_id, entry.kind, entry.count, entry.body) for entry in ingest.entries()} == {
        (3, EntryKind.ARCHIVE, 1, b"[" + MESSAGE + b"]")
    }
    for message in messages(ingest):
        assert isinstance(message, Message)
        assert (message.message_id, message.at_ms) == ("m-1", 1_795_428_000_250)


async def test_a_batch_is_signed_by_its_first_message(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Segment signs the first element alone, whose bytes are found where they stand."""
    for body in (b"[%b,%b]", b" [\r\n %b ,\t%b ]\n"):
        batch = body % (MESSAGE, SECOND)
        assert await send(client, "lenient", batch, {"X-Signature": sha1(MESSAGE)}) == (200, SUCCESS)
        assert (await send(client, "lenient", batch, {"X-Signature": sha1(batch)}))[0] == 503
    assert [isinstance(item, Message) and item.message_id for item in messages(ingest)] == ["m-1", "m-2"] * 2


async def test_half_a_surrogate_pair_does_not_break_the_signature(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """A cut emoji is mended in what is stored, and the signature is that of what came."""
    cut = MESSAGE.replace(b"Sold", b"Sold \\ud83d")
    batch = b"[" + cut + b"," + SECOND + b"]"
    assert await send(client, "lenient", batch, {"X-Signature": sha1(cut)}) == (200, SUCCESS)
    assert b"Sold \\ufffd" in ingest.entries()[0].body


async def test_the_first_message_is_found_whatever_it_holds(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Brackets and quotes inside of texts, objects in objects, bytes that are no UTF-8: the signature fits."""
    for first in (
        rb'{"a":"}]\"{[","b":[{"c":{}},[]],"\\":"\\\\"}',
        b'{"a":"\xff\xfe"}',
        b"{}",
        b'{"a":"' + b"x" * 70_000 + b'"}',
    ):
        for body, status in ((b"[%b]", 200), (b"[%b,{}]", 503), (b"[ %b ] ", 200), (b"[%b}]", 503)):
            answer = await send(client, "segment", body % first, {"X-Signature": sha1(first)})
            assert answer[0] == status, (first[:40], body)


async def test_what_is_not_proven_is_not_read(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Anybody may know the URL: what somebody else sends there costs little, however it is made."""
    start = b'{"a":'
    for body in (
        b"[" + b"0," * 4_000_000 + b"0]",
        b"[" + b"{}," * 2_700_000 + b"{}]",
        b"[" + start * 1_600_000,
        b'[{"a":"' + b'\\"' * 4_000_000,
        b"[" + b" " * 8_000_000,
    ):
        headers = {"X-Signature": sha1(b"x"), "Content-Encoding": "gzip"}
        packed = gzip.compress(body, compresslevel=1)
        started = time.process_time()
        assert (await send(client, "segment", packed, headers))[1]["code"] == "wrong_signature"
        assert time.process_time() - started < 0.25


async def test_an_unsigned_tail_is_refused_unless_it_is_allowed(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Who has seen one signed message cannot put others behind it; a batch of one has no tail."""
    headers = {"X-Signature": sha1(MESSAGE)}
    status, answer = await send(client, "segment", b"[" + MESSAGE + b"," + SECOND + b"]", headers)
    assert (status, answer["code"]) == (503, "unsigned_tail")
    assert "unsignedTail: accept" in answer["message"]
    assert ingest.log.end() == 0
    assert (await send(client, "segment", b"[" + MESSAGE + b"]", headers))[0] == 200


async def test_the_newer_signature_covers_the_whole_batch(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """With X-Segment-Signature every message is signed, so nothing has to be allowed."""
    batch = b"[" + MESSAGE + b"," + SECOND + b"]"
    assert await send(client, "segment", batch, {"X-Segment-Signature": sha1(batch)}) == (200, SUCCESS)
    forged = batch.replace(b"m-2", b"m-3")
    assert (await send(client, "segment", forged, {"X-Segment-Signature": sha1(batch)}))[1]["code"] == "wrong_signature"
    assert (await send(client, "segment", forged, {"X-Segment-Signature": sha1(MESSAGE)}))[0] == 503
    assert ingest.log.end() == 2


async def test_a_full_batch_of_segment_fits(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """4,000 messages of Segment's usual size come in one request and are all read."""
    items = [MESSAGE.replace(b"m-1", b"m-%d" % n).replace(b"tiny", b"x" * 1_400) for n in range(4_000)]
    batch = b"[" + b",".join(items) + b"]"
    headers = {"X-Segment-Signature": sha1(batch), "Content-Encoding": "gzip"}
    assert await send(client, "segment", gzip.compress(batch, 1), headers) == (200, SUCCESS)
    assert len({item.message_id for item in messages(ingest) if isinstance(item, Message)}) == 4_000


async def test_what_segment_made_larger_is_still_a_message(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """A message of 32 KB has grown on its way; what is twice as large never was one."""
    grown = json.dumps({**track("u"), "messageId": "m", "properties": {"a": "x" * 40_000}}).encode()
    larger = json.dumps({**track("u"), "messageId": "m", "properties": {"a": "x" * 70_000}}).encode()
    for body in (grown, larger):
        assert (await send(client, "segment", body, {"X-Signature": sha1(body)}))[0] == 200
    first, second = messages(ingest)
    assert isinstance(first, Message)
    assert isinstance(second, Discarded)
    assert second.reason == "message_too_large"


async def test_a_request_for_deletion_is_counted_and_deletes_nothing(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Segment tells webhooks whom to delete: it is stored and discarded under a reason of its own."""
    body = b'{"type":"delete","userId":"u-1","timestamp":"2026-11-23T10:00:00Z"}'
    assert await send(client, "segment", body, {"X-Signature": sha1(body)}) == (200, SUCCESS)
    assert [item.reason for item in messages(ingest) if isinstance(item, Discarded)] == ["deletion_request"]


# -- the others


async def test_senders_that_sign_nothing_show_their_secret(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """RudderStack and Jitsu send one event per request and any header: the secret as a bearer token."""
    for name in ("rudderstack", "jitsu"):
        assert await send(client, name, MESSAGE, BEARER) == (200, SUCCESS)
        assert await send(client, name, b"[" + SECOND + b"]", {"Authorization": f"bearer  {NEW}"}) == (200, SUCCESS)
    assert await send(client, "rudderstack", MESSAGE, {"Authorization": f"Bearer {OLD}"}) == (200, SUCCESS)
    for headers, reason in [
        ({}, "no_signature"),
        ({"Authorization": f"Basic {base64.b64encode(NEW.encode()).decode()}"}, "no_signature"),
        ({"Authorization": "Bearer"}, "wrong_signature"),
        ({"Authorization": f"Bearer {OLD}"}, "wrong_signature"),
        ({"Authorization": f"Bearer {NEW}x"}, "wrong_signature"),
    ]:
        status, answer = await send(client, "jitsu", MESSAGE, headers)
        assert (status, answer["code"]) == (503, reason), headers
    assert [(entry.kind, entry.count) for entry in ingest.entries()] == [(EntryKind.ARCHIVE, 1)] * 5


def standard(body: bytes, secret: str = STANDARD, *, late_seconds: float = 0, id_: str = "msg_1") -> dict[str, str]:
    """The headers that the reference library of Standard Webhooks makes."""
    sent_at = datetime.fromtimestamp(NOW_MS // 1_000, UTC) - timedelta(seconds=late_seconds)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": StandardSender(secret).sign(id_, sent_at, body.decode()),
    }


async def test_standard_webhooks_are_verified(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """What the reference library signs is taken, with either secret, beside signatures of other keys and versions."""
    for secret in (STANDARD, STANDARD_OLD):
        headers = standard(MESSAGE, secret)
        headers["webhook-signature"] = f"v1a,c2lnbmF0dXJl v1,AAAA {headers['webhook-signature']}"
        assert await send(client, "standard", MESSAGE, headers) == (200, SUCCESS)
    assert [isinstance(message, Message) and message.message_id for message in messages(ingest)] == ["m-1", "m-1"]


async def test_standard_webhooks_that_were_tampered_with(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """The id, the time and the body are signed; none can be changed or left out."""
    right = standard(MESSAGE)
    for change, reason in [
        ({"webhook-id": "msg_2"}, "wrong_signature"),
        ({"webhook-timestamp": str(NOW_MS // 1_000 + 1)}, "wrong_signature"),
        ({"webhook-signature": right["webhook-signature"].replace("v1,", "v2,")}, "wrong_signature"),
        ({"webhook-signature": ""}, "no_signature"),
        ({"webhook-id": ""}, "no_signature"),
    ]:
        status, answer = await send(client, "standard", MESSAGE, right | change)
        assert (status, answer["code"]) == (503, reason), change
    assert (await send(client, "standard", MESSAGE + b" ", right))[1]["code"] == "wrong_signature"
    assert ingest.log.end() == 0


async def test_standard_webhooks_expire(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """Outside the window, on either side, a signature proves nothing any more."""
    for late_seconds, taken in [(299, True), (-299, True), (302, False), (-302, False)]:
        status, answer = await send(client, "standard", MESSAGE, standard(MESSAGE, late_seconds=late_seconds))
        assert (status, answer.get("code")) == ((200, None) if taken else (503, "out_of_time"))


async def test_the_webhook_id_stands_in_for_message_ids(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """A repeated webhook has the same id, so messages without one of their own get the same id each time."""
    for without in (
        b"{%b}",
        *(b'{"messageId":' + sent + b",%b}" for sent in (b"null", b'""', b'" "', b"true", b"[1]")),
    ):
        item = without % b'"type":"track","userId":"u","event":"e"'
        batch = b"[" + item + b", " + MESSAGE + b"]"
        for body, id_ in [(item, 'msg_"1'), (batch, "msg_2")]:
            assert await send(client, "standard", body, standard(body, id_=id_)) == (200, SUCCESS)
    ids = [isinstance(message, Message) and message.message_id for message in messages(ingest)]
    assert ids == ['msg_"1', "msg_2:0", "m-1"] * 6


async def test_our_own_webhook_destination_is_understood(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """What one installation sends on, another takes, as either of the two senders that it signs like."""
    for name, secret in [("segment", NEW), ("standard", STANDARD)]:
        headers = dict(signatures(secret, "m-1", MESSAGE, NOW_MS))
        assert await send(client, name, MESSAGE, headers) == (200, SUCCESS)


# -- every sender


async def test_refusals_are_told_counted_and_logged_once(
    ingest: Ingest, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """A wrong signature is a 503, so that a secret changed on one side only loses nothing; the operator can see it."""
    before = refusals("segment", "wrong_signature")
    with capture_logs() as logs:
        for _ in range(3):
            answer = await client.post(
                "/v1/webhook/Key-segment", content=MESSAGE, headers={"X-Signature": sha1(MESSAGE, "another")}
            )
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json()["success"] is False
    assert refusals("segment", "wrong_signature") - before == 3
    assert [line["reason"] for line in logs if line["event"] == "webhook refused"] == ["wrong_signature"]
    assert not any(secret in repr((logs, answer.text)) for secret in (NEW, OLD))
    assert ingest.log.end() == 0


async def test_the_url_ends_in_the_write_key(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """A wrong URL can be mended while the sender repeats it: 503. Letter case matters in the write key alone."""
    for path, status in [
        ("/V1/Webhook/Key-segment", 200),
        ("/v1/webhook/Key-segment/", 200),
        ("/v1/webhook/key-segment", 503),
        ("/v1/webhook/nobody", 503),
        ("/v1/webhook/website-key", 503),
        ("//v1/webhook//Key-segment", 200),
        ("/v1/webhook", 503),
    ]:
        answer = await client.post(path, content=MESSAGE, headers={"X-Signature": sha1(MESSAGE)})
        assert answer.status_code == status, path
        assert status != 503 or answer.json()["code"] == "unknown_write_key"


async def test_what_no_repetition_mends_is_a_400(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """A body that is no message is refused for good, in the one shape of errors."""
    for body, words in [
        (b"", "Malformed JSON"),
        (b"not json", "Malformed"),
        (b'"text"', "Malformed message"),
        (b"[", "Malformed JSON"),
        (b'{"a":"' + b"x" * limits.WEBHOOK_BYTES + b'"}', "Exceed payload limit"),
    ]:
        status, answer = await send(client, "rudderstack", body, BEARER)
        assert (status, answer["code"]) == (400, "invalid_request")
        assert words in answer["message"]
    assert (await client.get("/v1/webhook/Key-rudderstack")).status_code == 400
    assert ingest.log.end() == 0


async def test_an_empty_batch_and_a_disabled_source(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """An empty array is nothing; what a disabled source sends is counted and not kept, if it is signed."""
    assert await send(client, "segment", b"[]", {}) == (200, SUCCESS)
    assert (await send(client, "retired", MESSAGE, {}))[0] == 503
    assert await send(client, "retired", MESSAGE, {"X-Signature": sha1(MESSAGE)}) == (200, SUCCESS)
    assert [(entry.kind, entry.count, entry.body) for entry in ingest.entries()] == [
        (EntryKind.SOURCE_DISABLED, 1, b"")
    ]


async def test_without_the_secrets_nothing_is_taken(ingest: Ingest, client: httpx.AsyncClient, tmp_path: Path) -> None:
    """While the key that opens the secrets is away, senders repeat; when it is back, messages are taken."""
    (tmp_path / "secret.key").rename(tmp_path / "away.key")
    ingest.sources._version = -1
    ingest.sources.refresh()
    headers = {"X-Signature": sha1(MESSAGE)}
    assert (await send(client, "segment", MESSAGE, headers))[1]["code"] == "no_secret"
    assert len(ingest.sources.troubles()) == 5
    (tmp_path / "away.key").rename(tmp_path / "secret.key")
    ingest.sources.refresh()
    assert (await send(client, "segment", MESSAGE, headers))[0] == 200


async def test_the_write_key_of_a_webhook_opens_no_other_route(ingest: Ingest, client: httpx.AsyncClient) -> None:
    """It stands in a URL: on the routes that ask for no signature it would let anybody in."""
    for path, body in [("/v1/track", b"{}"), ("/v1/batch", b'{"batch":[{}]}')]:
        answer = await client.post(path, content=body, auth=("Key-segment", ""))
        assert answer.status_code == 400
        assert "webhook source" in answer.json()["message"]
    assert ingest.log.end() == 0


async def test_what_also_came_live_counts_once(tmp_path: Path) -> None:
    """The same message from an SDK and, with what Segment adds to it, by a webhook is one event."""
    pipeline = Pipeline(tmp_path)
    log = SqliteEventLog(tmp_path / "log.db")
    (tmp_path / "ingest").mkdir()
    live = {**track("u", messageId="m-1", properties={"accountId": "acme"}), "timestamp": at(-1)}
    pipeline.send(live)
    sources = [hook(2, "segment", Webhook(Sender.SEGMENT, (NEW,)))]
    async with (
        running_ingest(tmp_path / "ingest", sources=sources, log=log) as ingest,
        httpx.AsyncClient(base_url=ingest.url) as client,
    ):
        sent_on = json.dumps({**live, "receivedAt": at(0), "projectId": "p", "version": 2}).encode()
        assert (await send(client, "segment", sent_on, {"X-Signature": sha1(sent_on)}))[0] == 200
    pipeline.resolve()
    figures = pipeline.figures()
    assert (figures["received"], figures["duplicates"], figures["pending"]) == (2, 1, 1)
    pipeline.close()
