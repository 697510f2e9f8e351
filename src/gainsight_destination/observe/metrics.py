"""Every metric of the product, declared in one place: name with unit, kind, labels, meaning.

The two processes of `serve` keep one registry each. The private port shows both: the ingest process sends its text
to the engine (see runtime/link.py), and the two texts have no name in common.
"""

from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

INGEST = CollectorRegistry()
"""Metrics of the process that answers the public port."""
ENGINE = CollectorRegistry()
"""Metrics of the process that resolves and delivers."""

ACK_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

ProcessCollector(namespace="ingest", registry=INGEST)
ProcessCollector(namespace="engine", registry=ENGINE)

ingest_requests = Counter(
    "ingest_requests_total", "Requests answered on the public port.", ["route", "code"], registry=INGEST
)
ingest_messages = Counter(
    "ingest_messages_total",
    "Messages acknowledged, by source; outcome is accepted, source_disabled or unknown_source.",
    ["source", "outcome"],
    registry=INGEST,
)
ingest_body_bytes = Counter(
    "ingest_body_bytes_total", "Bytes of accepted request bodies, after gunzip.", registry=INGEST
)
ingest_empty_batches = Counter("ingest_empty_batches_total", "Batches acknowledged without a message.", registry=INGEST)
ingest_mended_bodies = Counter(
    "ingest_mended_bodies_total",
    "Bodies accepted after mending: text that is no Unicode, NaN and Infinity, or nesting too deep to be read.",
    registry=INGEST,
)
ingest_refused_webhooks = Counter(
    "ingest_refused_webhooks_total",
    "Requests to webhook sources that did not prove where they come from, answered with 503: unknown_write_key,"
    " no_secret, no_signature, wrong_signature, unsigned_tail or out_of_time.",
    ["source", "reason"],
    registry=INGEST,
)
ingest_lost_pixels = Counter(
    "ingest_lost_pixels_total",
    "Pixels whose message was not stored; code is the status that a POST would have been answered with.",
    ["code"],
    registry=INGEST,
)
ingest_ack_seconds = Histogram(
    "ingest_ack_seconds",
    "From the request's head to its answer, for messages in a body acknowledged with 200.",
    buckets=ACK_BUCKETS_SECONDS,
    registry=INGEST,
)
ingest_connections = Gauge("ingest_connections", "Open connections on the public port.", registry=INGEST)
ingest_stalled_connections = Counter(
    "ingest_stalled_connections_total", "Connections closed because a request took too long to come.", registry=INGEST
)
ingest_refused = Counter(
    "ingest_refused_total",
    "Requests answered 429; reason is backlog, disk, share, messages_per_second or megabytes_per_day, and source is"
    " empty when all are refused.",
    ["reason", "source"],
    registry=INGEST,
)
ingest_closed = Gauge(
    "ingest_closed", "1 while all messages are refused; reason is backlog or disk.", ["reason"], registry=INGEST
)
log_unread_bytes = Gauge(
    "log_unread_bytes", "Bytes of the bodies in the log that the engine has not read yet.", registry=INGEST
)
disk_free_bytes = Gauge("disk_free_bytes", "Free bytes on the volume of the data directory.", registry=INGEST)
ingest_refused_connections = Counter(
    "ingest_refused_connections_total", "Connections that came when too many were open.", registry=INGEST
)
ingest_tls_expiry_timestamp_seconds = Gauge(
    "ingest_tls_expiry_timestamp_seconds",
    "When the TLS certificate of the public port ends, in Unix time; 0 without TLS.",
    registry=INGEST,
)
log_append_seconds = Histogram(
    "log_append_seconds",
    "One durable write of a group of requests to the event log.",
    buckets=ACK_BUCKETS_SECONDS,
    registry=INGEST,
)
log_group_messages = Histogram(
    "log_group_messages",
    "Messages stored by one durable write.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000),
    registry=INGEST,
)
log_append_failures = Counter("log_append_failures_total", "Groups that the event log refused.", registry=INGEST)
log_queued_bytes = Gauge("log_queued_bytes", "Bytes that wait for a durable write.", registry=INGEST)
engine_restarts = Counter(
    "engine_restarts_total", "Times the engine process ended unasked and was started again.", registry=INGEST
)

resolve_messages = Counter(
    "resolve_messages_total",
    "Messages read from the log and resolved, duplicates and discarded ones too.",
    registry=ENGINE,
)
resolve_seconds = Histogram(
    "resolve_seconds", "One batch from the log to dirty records.", buckets=ACK_BUCKETS_SECONDS, registry=ENGINE
)
resolve_lag_messages = Gauge("resolve_lag_messages", "Messages in the log that are not resolved yet.", registry=ENGINE)
deliver_calls = Counter(
    "deliver_calls_total",
    "Calls sent to a destination; outcome is the HTTP status, or what broke the connection.",
    ["destination", "outcome"],
    registry=ENGINE,
)
deliver_call_seconds = Histogram(
    "deliver_call_seconds", "From sending a call to its answer.", ["destination"], registry=ENGINE
)
deliver_quota_calls = Gauge(
    "deliver_quota_calls",
    "Calls spent of our share of a destination's quota; window is minute or day.",
    ["destination", "window"],
    registry=ENGINE,
)
deliver_quota_share_calls = Gauge(
    "deliver_quota_share_calls",
    "Calls of a destination's quota that are ours; window is minute or day.",
    ["destination", "window"],
    registry=ENGINE,
)
deliver_waiting_calls = Gauge(
    "deliver_waiting_calls",
    "Calls that it takes to deliver the records that wait; 0 while the destination is paused or disabled.",
    ["destination"],
    registry=ENGINE,
)
deliver_drain_seconds = Gauge(
    "deliver_drain_seconds",
    "Seconds until the last of those calls can be sent with the quota that is left.",
    ["destination"],
    registry=ENGINE,
)
deliver_held_rows = Gauge(
    "deliver_held_rows",
    "Rows of an object that the other side holds because of us, where their number is limited.",
    ["destination", "object"],
    registry=ENGINE,
)
deliver_max_rows = Gauge(
    "deliver_max_rows", "Rows that such an object can hold.", ["destination", "object"], registry=ENGINE
)
replay_left_messages = Gauge(
    "replay_left_messages",
    "Messages of the log that replays have still to look at; those of paused ones too.",
    ["destination"],
    registry=ENGINE,
)
replay_waiting_records = Gauge(
    "replay_waiting_records", "Records that replays made due and that still wait.", ["destination"], registry=ENGINE
)
books_messages = Gauge(
    "books_messages",
    "Messages by where they stand for a destination: received is the sum of all the others.",
    ["destination", "state", "reason"],
    registry=ENGINE,
)
destination_paused = Gauge(
    "destination_paused",
    "1 while a destination, or one of its objects, waits for a person.",
    ["destination"],
    registry=ENGINE,
)


@cache
def ingest_requests_of(route: str, code: int) -> Counter:
    """The counter of one route and status; looked up once, since it is on every request's way."""
    return ingest_requests.labels(route, str(code))


@cache
def ingest_messages_of(source: str, outcome: str) -> Counter:
    """The counter of one source and outcome."""
    return ingest_messages.labels(source, outcome)


@cache
def ingest_refused_of(reason: str, source: str) -> Counter:
    """The counter of one reason and source."""
    return ingest_refused.labels(reason, source)


def text_of(registry: CollectorRegistry) -> str:
    """The registry in the Prometheus text format."""
    return generate_latest(registry).decode("utf-8")
