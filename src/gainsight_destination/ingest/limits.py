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

HEADERS = 200
"""Of one request, those after a chunked body too; SDKs and browsers send less than 30."""

PIPELINED_REQUESTS = 32
"""A connection may send so many requests ahead of their answers; more lose it. SDKs wait for each answer."""

UNFINISHED_BYTES = 128 * 1024 * 1024
"""Bodies that are still on their way, all connections together; more is a 503."""

REQUEST_SECONDS = 30
"""A request whose head and body did not arrive within this time loses its connection, as does who reads no answers."""

CONNECTIONS = 10_000
"""Open at once, unless `serve` is told otherwise."""

SPARE_CONNECTIONS = 64
"""Beyond those, so many more are heard: /health is answered, and what else comes is told to come later."""

SPARE_SECONDS = 5
"""How long one of those may take."""

FREE_SHARE = 0.1
"""So much of the connections is kept free for newcomers, by closing those that are idle for the longest time."""

HANDSHAKE_SECONDS = 15
"""TLS: a connection that has not finished its handshake within this time is closed."""

GOODBYE_SECONDS = 2
"""TLS: how long a connection that is being closed waits for the other side to say so too."""

KEEP_ALIVE_SECONDS = 75
"""An idle connection is kept this long, longer than the 60 seconds usual for load balancers in front."""

DRAIN_SECONDS = 10
"""On stop, requests under way get this long to finish."""
