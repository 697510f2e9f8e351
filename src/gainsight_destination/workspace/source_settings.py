"""The settings of a source in the shape of a workspace file, and what may not stand together in them."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from gainsight_destination.workspace.model import (
    DEFAULT_TOLERANCE_SECONDS,
    Sender,
    Source,
    SourceKind,
    SourceLimits,
    Trust,
    UnsignedTail,
    Webhook,
)
from gainsight_destination.workspace.spec import SourceSpec

MAX_SECRETS = 2
SHORT_SECRET_LENGTH = 16
STANDARD_PREFIX = "whsec_"
STANDARD_SECRET_BYTES = (24, 64)
"""Shortest and longest secret that the Standard Webhooks specification allows."""


def document_of(source: Source | SourceSpec) -> dict[str, Any]:
    """Everything that is not the default, without secrets: what is stored, exported and compared."""
    document: dict[str, Any] = {}
    if source.kind is not SourceKind.SERVER:
        document["kind"] = source.kind.value
    if source.trust is not Trust.FULL:
        document["trust"] = source.trust.value
    limits = {
        "messagesPerSecond": source.limits.messages_per_second,
        "megabytesPerDay": source.limits.megabytes_per_day,
    }
    if limits := {name: limit for name, limit in limits.items() if limit is not None}:
        document["limits"] = limits
    if webhook := source.webhook:
        document["webhook"] = {"sender": webhook.sender.value}
        if webhook.unsigned_tail is not UnsignedTail.REFUSE:
            document["webhook"]["unsignedTail"] = webhook.unsigned_tail.value
        if webhook.tolerance_seconds != DEFAULT_TOLERANCE_SECONDS:
            document["webhook"]["toleranceSeconds"] = webhook.tolerance_seconds
    return document


def source_of(
    id_: int, name: str, write_key: str, enabled: bool, document: Mapping[str, Any], secrets: Sequence[Any]
) -> Source:
    """The source that `document_of` was made of, with its secrets."""
    limits, webhook = document.get("limits", {}), document.get("webhook")
    return Source(
        id_,
        name,
        write_key,
        enabled,
        SourceKind(document.get("kind", SourceKind.SERVER)),
        Trust(document.get("trust", Trust.FULL)),
        SourceLimits(limits.get("messagesPerSecond"), limits.get("megabytesPerDay")),
        webhook
        and Webhook(
            Sender(webhook["sender"]),
            tuple(secrets),
            UnsignedTail(webhook.get("unsignedTail", UnsignedTail.REFUSE)),
            webhook.get("toleranceSeconds", DEFAULT_TOLERANCE_SECONDS),
        ),
    )


def problems_of(spec: SourceSpec, secrets: Sequence[str], write_key: str | None) -> list[str]:
    """What is wrong with the settings taken together. `secrets` and `write_key` are those that will be in force."""
    if spec.webhook is None:
        needed = "webhook is required for kind webhook: a sender, and the secrets it signs with"
        return [needed] if spec.kind is SourceKind.WEBHOOK else []
    if spec.kind is not SourceKind.WEBHOOK:
        return [f"webhook is for kind webhook only, and this one is of kind {spec.kind.value}"]
    problems = []
    if not secrets:
        problems.append("webhook.secrets is required: 1 secret, or 2 while one replaces the other")
    if write_key in secrets:
        problems.append("webhook.secrets has the write key in it, which is no secret: it stands in the webhook's URL")
    if spec.webhook.sender is Sender.STANDARD and not all(standard_secret(secret) for secret in secrets):
        problems.append(
            "webhook.secrets of sender standard must be base64 of 24 to 64 bytes, with or without whsec_ before it; "
            "make one with: openssl rand -base64 32"
        )
    return problems


def warnings_of(secrets: Sequence[str]) -> list[str]:
    """What is allowed and probably not meant."""
    if any(len(secret) < SHORT_SECRET_LENGTH for secret in secrets):
        return [f"a webhook secret of fewer than {SHORT_SECRET_LENGTH} characters can be guessed"]
    return []


def standard_secret(secret: str) -> bytes | None:
    """The bytes that a secret of Standard Webhooks stands for; None when it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    shortest, longest = STANDARD_SECRET_BYTES
    return key if shortest <= len(key) <= longest else None
