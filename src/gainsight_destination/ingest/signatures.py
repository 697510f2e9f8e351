"""Who may send to a webhook source: the signature or secret that each sender puts into its requests. Pure.

Everything is checked on the bytes as they came, since JSON that is read and written again may differ from what was
signed, and in a time that does not tell how much of a signature was right.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gainsight_destination.workspace.model import Sender, UnsignedTail, Webhook
from gainsight_destination.workspace.source_settings import standard_secret

Headers = Mapping[bytes, bytes]

NO_SIGNATURE: Final = "no_signature"
WRONG_SIGNATURE: Final = "wrong_signature"
UNSIGNED_TAIL: Final = "unsigned_tail"
OUT_OF_TIME: Final = "out_of_time"


class SignatureError(Exception):
    """A request is not proven to come from the sender. `reason` is counted, the text says what to do about it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Signed:
    """A body as it came: the whole of it, the message it holds or the first of them, and whether that is all."""

    body: bytes
    first: bytes
    alone: bool


def check(webhook: Webhook, headers: Headers, signed: Signed, now_ms: int) -> None:
    """Raises SignatureError unless the sender knows one of the secrets and means these messages."""
    CHECKS[webhook.sender](webhook, headers, signed, now_ms)


def check_segment(webhook: Webhook, headers: Headers, signed: Signed, now_ms: int) -> None:
    """Hex HMAC-SHA1 of the whole body in X-Segment-Signature, or of the first message alone in X-Signature.

    Source: https://github.com/segmentio/action-destinations, destinations/webhook: the older header is the default,
    the other one a setting. Segment's classic webhooks send one message per request with the older header.
    """
    if whole := headers.get(b"x-segment-signature"):
        refuse_unless(signed_by_hex(webhook, whole, signed.body))
        return
    if not (first := headers.get(b"x-signature")):
        raise SignatureError(NO_SIGNATURE, "There is no X-Signature; set the Shared Secret in Segment's webhook")
    refuse_unless(signed_by_hex(webhook, first, signed.first))
    if not signed.alone and webhook.unsigned_tail is UnsignedTail.REFUSE:
        raise SignatureError(
            UNSIGNED_TAIL,
            "Only the first message of this batch is signed; switch on X-Segment-Signature in Segment's webhook, "
            "or batching off, or set unsignedTail: accept",
        )


def check_bearer(webhook: Webhook, headers: Headers, signed: Signed, now_ms: int) -> None:
    """The secret itself, as `Authorization: Bearer SECRET`: these senders sign nothing and send any header."""
    scheme, _, credentials = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise SignatureError(NO_SIGNATURE, "There is no Authorization: Bearer SECRET; add that header in the sender")
    given = credentials.strip()
    refuse_unless(any(hmac.compare_digest(secret.encode(), given) for secret in webhook.secrets))


def check_standard(webhook: Webhook, headers: Headers, signed: Signed, now_ms: int) -> None:
    """HMAC-SHA256 of `id.timestamp.body` in base64, among several `v1,...` in webhook-signature.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    message_id, timestamp = headers.get(b"webhook-id", b""), headers.get(b"webhook-timestamp", b"")
    signatures = headers.get(b"webhook-signature", b"").split()
    if not (message_id and timestamp and signatures):
        raise SignatureError(NO_SIGNATURE, "webhook-id, webhook-timestamp or webhook-signature is missing")
    content = b".".join((message_id, timestamp, signed.body))
    keys = [standard_secret(secret) or b"" for secret in webhook.secrets]
    expected = [b"v1," + base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys if key]
    refuse_unless(any(hmac.compare_digest(right, given) for right in expected for given in signatures))
    if not timestamp.isdigit() or abs(now_ms / 1_000 - int(timestamp)) > webhook.tolerance_seconds:
        raise SignatureError(
            OUT_OF_TIME, f"webhook-timestamp is more than {webhook.tolerance_seconds} seconds from the time here"
        )


CHECKS: Final[Mapping[Sender, Callable[[Webhook, Headers, Signed, int], None]]] = {
    Sender.SEGMENT: check_segment,
    Sender.RUDDERSTACK: check_bearer,
    Sender.JITSU: check_bearer,
    Sender.STANDARD: check_standard,
}


def signed_by_hex(webhook: Webhook, given: bytes, content: bytes) -> bool:
    """Whether one of the secrets signs the content so."""
    given = given.strip().lower()
    expected = [hmac.digest(secret.encode(), content, "sha1").hex().encode() for secret in webhook.secrets]
    return any(hmac.compare_digest(right, given) for right in expected)


def refuse_unless(right: bool) -> None:
    if not right:
        raise SignatureError(WRONG_SIGNATURE, "The signature fits none of the source's secrets; compare them")
