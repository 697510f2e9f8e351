"""Which path means what. The paths as Segment documents them are found by one look into a table; others by a second.

Segment lower-cases paths and forgives one trailing slash. Beyond that, an SDK appends its own path to whatever host it
was given, with or without `/v1`, `/projects` or a slash at the end. What comes of that is understood too: a wrong path
would cost its sender every message, without a word.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gainsight_destination.ingest.requests import Handler

VERSION = "v1"
SETTINGS = "projects/settings"
"""The name in the table of `/v1/projects/WRITE_KEY/settings`."""
WEBHOOK = "webhook"
"""The name in the table of `/v1/webhook/WRITE_KEY`."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a path means. `path` has no `/v1/` before it; `name` is how metrics and logs call it."""

    path: str
    name: str
    handle: Handler


class Routes:
    """The table. `prefix` is the path before `/v1` when a proxy in front passes one on: "/segment"; else empty."""

    def __init__(self, routes: Iterable[Route], *, other: Route, prefix: str = "") -> None:
        self._by_path = {route.path: route for route in routes}
        self._other = other
        self._prefix = parts_of(prefix.lower())
        self._exact = {
            f"{before}/{VERSION}/{path}{after}": route
            for path, route in self._by_path.items()
            for before in {"", prefix}
            for after in ("", "/")
            if path != SETTINGS
        }

    def find(self, path: str) -> Route:
        return self._exact.get(path) or self._search(path)

    def _search(self, path: str) -> Route:
        """The route of a path that is not written as documented."""
        parts = parts_of(path.lower())
        if self._prefix and parts[: len(self._prefix)] == self._prefix:
            del parts[: len(self._prefix)]
        while parts and parts[0] == VERSION:
            del parts[0]
        if len(parts) > 2 and parts[0] == "projects" and parts[-1] == "settings":
            return self._by_path[SETTINGS]
        if parts[:1] == [WEBHOOK]:
            return self._by_path[WEBHOOK]
        return self._by_path.get("/".join(parts), self._other)


def parts_of(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
