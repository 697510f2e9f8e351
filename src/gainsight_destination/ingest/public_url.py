"""Where SDKs reach the public port, as settings documents tell them: stated with --public-url, else as they asked."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from gainsight_destination.errors import UserError

LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_AND_PORT = re.compile(rf"(?P<host>{LABEL}(?:\.{LABEL})*\.?|\[[0-9a-f:.]{{2,45}}\])(?::(?P<port>\d{{1,5}}))?", re.I)
PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")

LONGEST_HOST = 255


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """`host` has the port if one was stated; `path` is empty or begins with a slash and ends without one."""

    scheme: str
    host: str
    path: str = ""

    @classmethod
    def parse(cls, text: str, option: str = "--public-url") -> "PublicUrl":
        """Read https://HOST[:PORT][/PREFIX]; http too, for trials. Raises UserError that says what to change."""
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise UserError(f"{option} {text!r} is not a URL: {error}") from None
        if parts.scheme not in ("https", "http") or not parts.netloc:
            raise UserError(f"{option} {text!r} must be https://HOST[:PORT][/PREFIX]; mobile SDKs need https")
        if parts.query or parts.fragment or "@" in parts.netloc or "?" in text or "#" in text:
            raise UserError(f"{option} {text!r} must end with the host or a path: no user, no query, no fragment")
        if not is_host(parts.netloc):
            raise UserError(f"{option} {text!r}: {parts.netloc!r} is not HOST or HOST:PORT")
        path = parts.path.rstrip("/")
        if not PATH.fullmatch(path):
            raise UserError(f"{option} {text!r}: the path may have letters, digits and . _ ~ - between slashes")
        if path.lower() == "/v1" or path.lower().endswith("/v1"):
            raise UserError(f"{option} {text!r}: leave out /v1 at the end; SDKs are told it by themselves")
        return cls(parts.scheme, parts.netloc, path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}"

    @classmethod
    def asked(cls, scheme: str, host_header: bytes | None) -> "PublicUrl | None":
        """Where a request was sent to, by its own Host header; None when that is none."""
        host = (host_header or b"").decode("latin-1")
        return cls(scheme, host) if is_host(host) else None


def is_host(text: str) -> bool:
    """Whether this is HOST or HOST:PORT, and nothing that could mean something else inside a URL."""
    match = HOST_AND_PORT.fullmatch(text)
    return match is not None and len(text) <= LONGEST_HOST and 0 < int(match["port"] or 1) < 65_536
