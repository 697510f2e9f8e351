"""Finds the write key of a request: the Basic user name, else `writeKey` at the top of the body, else in the query.

The password does not matter, and a header that says nothing (Bearer, broken base64, an empty user name) leaves it to
the body. Write keys inside the items of a batch are not read.
"""

import binascii
from functools import lru_cache

import msgspec

from gainsight_destination.ingest.answers import RefusedRequestError

REMEMBERED_BYTES = 256
"""Longer headers are read anew each time: thousands of them, as long as a head may be, would fill the memory."""

NO_WRITE_KEY = "An invalid write key was provided"
"""Segment's own words for a missing key."""


def write_key_of(authorization: bytes | None, body_write_key: msgspec.Raw, query_write_key: str = "") -> str:
    """The write key, trimmed. Raises RefusedRequestError when the request has none."""
    write_key = basic_user_name(authorization) if authorization else ""
    if not write_key and bytes(body_write_key).startswith(b'"'):
        write_key = msgspec.json.decode(body_write_key, type=str).strip()
    write_key = write_key or query_write_key.strip()
    if not write_key:
        raise RefusedRequestError(NO_WRITE_KEY)
    return write_key


def basic_user_name(authorization: bytes) -> str:
    """The user name of a Basic header, with or without the colon after it; empty when there is none."""
    return remembered(authorization) if len(authorization) <= REMEMBERED_BYTES else read_user_name(authorization)


@lru_cache(maxsize=4_096)
def remembered(authorization: bytes) -> str:
    return read_user_name(authorization)


def read_user_name(authorization: bytes) -> str:
    scheme, _, credentials = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        decoded = binascii.a2b_base64(credentials.strip())
    except binascii.Error:
        return ""
    return decoded.partition(b":")[0].decode("utf-8", "replace").strip()
