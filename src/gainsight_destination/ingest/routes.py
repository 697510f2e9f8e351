"""Which path means which call. Segment lower-cases paths and forgives one trailing slash, so do we."""

from dataclasses import dataclass

from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.ingest import limits


@dataclass(frozen=True, slots=True)
class Route:
    """A path that takes messages."""

    name: str
    kind: EntryKind
    max_body_bytes: int


def single(name: str, kind: EntryKind) -> Route:
    return Route(name, kind, limits.SINGLE_BYTES)


ROUTES = {
    f"/v1/{route.name}": route
    for route in (
        single("identify", EntryKind.IDENTIFY),
        single("track", EntryKind.TRACK),
        single("group", EntryKind.GROUP),
        single("page", EntryKind.PAGE),
        single("screen", EntryKind.SCREEN),
        single("alias", EntryKind.ALIAS),
        Route("batch", EntryKind.BATCH, limits.BATCH_BYTES),
        Route("import", EntryKind.BATCH, limits.BATCH_BYTES),
    )
}


def plain_path(path: str) -> str:
    """The path as routes are named: lower case, one trailing slash off."""
    path = path.lower()
    return path[:-1] if len(path) > 1 and path.endswith("/") else path
