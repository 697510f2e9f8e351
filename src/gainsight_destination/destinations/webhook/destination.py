"""The webhook destination: a POST of each message, signed so that the receiver knows who sent it.

Two signatures go with it: that of the Standard Webhooks specification (`webhook-id`, `webhook-timestamp`,
`webhook-signature`), and `X-Signature`, the hexadecimal HMAC-SHA1 of the body that Segment's own webhooks carry, so
that a receiver of those needs no change.
"""

import hmac
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final

from gainsight_destination.destinations.contract import Call
from gainsight_destination.destinations.messages import MessageDestination
from gainsight_destination.destinations.webhook.settings import STANDARD_PREFIX, WebhookSettings

PLAIN_ID: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""A message id that can stand in a header as it is. Others are hashed: the body has them."""


class WebhookDestination(MessageDestination):
    """See docs/messages.md."""

    def __init__(self, settings: WebhookSettings) -> None:
        super().__init__(
            integration_name="Webhooks",
            base_url=settings.url[0],
            headers={},
            types=settings.types,
            events=settings.events,
            pace=settings.pace,
        )
        self._settings = settings

    def call_of(self, message_id: str, message: bytes, now_ms: int) -> Call:
        signed = signatures(self._settings.secret, message_id, message, now_ms) if self._settings.secret else ()
        return Call("POST", self._settings.url[1], headers=(("Content-Type", "application/json"), *signed))


def signatures(secret: str, message_id: str, message: bytes, now_ms: int) -> tuple[tuple[str, str], ...]:
    """The headers that prove who sent a message, and when."""
    webhook_id = message_id if PLAIN_ID.fullmatch(message_id) else sha256(message_id.encode()).hexdigest()
    seconds = str(now_ms // 1000)
    key = b64decode(secret.removeprefix(STANDARD_PREFIX)) if secret.startswith(STANDARD_PREFIX) else secret.encode()
    standard = hmac.digest(key, b".".join((webhook_id.encode(), seconds.encode(), message)), "sha256")
    return (
        ("webhook-id", webhook_id),
        ("webhook-timestamp", seconds),
        ("webhook-signature", f"v1,{b64encode(standard).decode()}"),
        ("X-Signature", hmac.new(secret.encode(), message, "sha1").hexdigest()),
    )
