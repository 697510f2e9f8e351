"""The Events Framework: `POST /v1.0/api/eventManager/event` publishes one trigger; it makes no row in any object.

Gainsight documents the headers sharedSecret, tenantId, eventName and eventVersion; topicName is seen in use. An event
must have been set up by an administrator. What a refusal looks like is not published.
"""

from collections.abc import Sequence

import msgspec

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import RefusedError, Reply, invalid
from gainsight_destination.sandbox.auth import same
from gainsight_destination.sandbox.calls import Call
from gainsight_destination.sandbox.tenant import Tenant


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event in its topic, as an administrator sets it up."""

    topic_name: str
    event_name: str
    event_version: str = "v01"


SEEDED_TOPICS = (Topic("Product Usage", "ReportViewed"),)


def require_publisher(tenant: Tenant, call: Call) -> None:
    """The shared secret and the tenant's id. Raises RefusedError."""
    secret = same(call.headers.get("sharedsecret", ""), tenant.credentials.shared_secret)
    if not secret or call.headers.get("tenantid") != tenant.credentials.tenant_id:
        raise RefusedError(401, answers.UNAUTHORIZED, "Unauthorized")


def publish(tenant: Tenant, call: Call) -> Reply:
    """The endpoint."""
    topic, name, version = (call.headers.get(header) for header in ("topicname", "eventname", "eventversion"))
    known = tenant.connection.execute(
        "SELECT 1 FROM topics WHERE (? IS NULL OR topic_name = ?) AND event_name = ? AND event_version = ?",
        (topic, topic, name, version),
    ).fetchone()
    if known is None:
        raise invalid(f"The event {name} {version} is not set up")
    body = msgspec.json.encode(call.json_object()).decode()
    tenant.connection.execute(
        "INSERT INTO published_events (at_ms, topic_name, event_name, event_version, body) VALUES (?, ?, ?, ?, ?)",
        (tenant.now_ms, topic, name, version, body),
    )
    return Reply()


def set_topics(tenant: Tenant, topics: Sequence[Topic]) -> None:
    """Replace the events that are set up."""
    tenant.connection.execute("DELETE FROM topics")
    tenant.connection.executemany(
        "INSERT OR IGNORE INTO topics VALUES (?, ?, ?)",
        [(topic.topic_name, topic.event_name, topic.event_version) for topic in topics],
    )


def topics_of(tenant: Tenant) -> list[Topic]:
    return [Topic(*row) for row in tenant.connection.execute("SELECT * FROM topics ORDER BY topic_name, event_name")]


def published(tenant: Tenant) -> list[dict[str, object]]:
    """What was published, oldest first."""
    rows = tenant.connection.execute(
        "SELECT at_ms, topic_name, event_name, event_version, body FROM published_events ORDER BY id"
    )
    names = ("at_ms", "topic_name", "event_name", "event_version")
    return [{**dict(zip(names, row, strict=False)), "body": msgspec.json.decode(row[-1])} for row in rows]
