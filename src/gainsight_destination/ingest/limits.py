"""How large, how slow and how many: the bounds of the public port.

The first two are Segment's documented limits, in the numbers its code uses; the others protect this process.
"""

SINGLE_BYTES = 32_768
"""Segment documents 32 KB for a single message; a larger one is a 400."""

BATCH_BYTES = 512_000
"""Segment documents 500 KB per batch and counts after gunzip; a larger one is a 400."""

WEBHOOK_BYTES = 8 * 1024 * 1024
"""Segment's webhook batches up to 4,000 messages; this is 2 KB for each, and a few milliseconds of this process."""

GZIP_OVERHEAD_BYTES = 1_024
"""A gzip body may be this much larger than the limit of what is inside, which did not compress."""

GZIP_MEMBERS = 16
"""A gzip stream may be several streams in a row; senders use one, and each costs work however small it is."""

DRAIN_BYTES = WEBHOOK_BYTES + GZIP_OVERHEAD_BYTES
"""How much of a too large body is read and thrown away, so that its sender comes to read the answer."""

HEAD_BYTES = 65_536
"""Request line and headers."""

UNFINISHED_BYTES = 128 * 1024 * 1024
"""Bodies that are still on their way, all connections together; more is a 503."""

REQUEST_SECONDS = 30
"""A request whose head and body did not arrive within this time loses its connection."""

KEEP_ALIVE_SECONDS = 75
"""An idle connection is kept this long, longer than the 60 seconds usual for load balancers in front."""

DRAIN_SECONDS = 10
"""On stop, requests under way get this long to finish."""
