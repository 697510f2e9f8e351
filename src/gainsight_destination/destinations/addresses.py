"""Reads web addresses among settings: where a destination sends to."""

import re
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from gainsight_destination.destinations.read_settings import WrongValueError, text

HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


def origin(value: Any) -> str:
    """A server's address: scheme, host and perhaps port, nothing after them."""
    example = "for example https://acme.gainsightcloud.com"
    parts, address = checked(value, example)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise WrongValueError(f"must end after the host, without a path; {example}")
    return address


def url(value: Any) -> tuple[str, str]:
    """The address of a page: its origin, and its path with the query."""
    parts, address = checked(value, "for example https://hooks.example.com/segment")
    if parts.fragment:
        raise WrongValueError("must not hold a #fragment, which is never sent")
    return address, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def checked(value: Any, example: str) -> tuple[SplitResult, str]:
    """An address taken apart, and its origin. Without a scheme it is https."""
    written = text(value)
    try:
        parts = urlsplit(written if "://" in written else f"https://{written}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise WrongValueError(f"is not an address; {example}") from None
    if parts.scheme not in ("https", "http"):
        raise WrongValueError(f"must begin with https://; {example}")
    if "@" in parts.netloc:
        raise WrongValueError(f"must not hold a user name or password; {example}")
    if not is_host(host):
        raise WrongValueError(f"needs the full name of the host; {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise WrongValueError("must begin with https://; plain http is for this machine only (localhost, 127.0.0.1)")
    return parts, assembled(parts, host, port)


def is_host(host: str) -> bool:
    """Whether this is a full host name, an IP address, or this machine."""
    return host == "localhost" or is_ip_address(host) or HOST.fullmatch(host) is not None


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return host == "localhost" or (is_ip_address(host) and ip_address(host).is_loopback)


def is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def assembled(parts: SplitResult, host: str, port: int | None) -> str:
    usual_port = 443 if parts.scheme == "https" else 80
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, usual_port) else f":{port}")
