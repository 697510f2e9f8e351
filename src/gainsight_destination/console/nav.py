"""The rooms of the console, in the order of the navigation."""

from typing import Final, NamedTuple

from gainsight_destination.access.roles import Role


class Room(NamedTuple):
    """A link of the navigation. Rooms that somebody may not enter are not shown."""

    path: str
    name: str
    role: Role = Role.VIEWER


NAVIGATION: Final[tuple[tuple[str, tuple[Room, ...]], ...]] = (
    ("", (Room("/overview", "Overview"), Room("/live", "Live"))),
    (
        "Connections",
        (Room("/sources", "Sources"), Room("/destinations", "Destinations"), Room("/catalog", "Catalog")),
    ),
    (
        "Data",
        (
            Room("/search", "Accounts and users"),
            Room("/worklists", "Worklists"),
            Room("/failures", "Failures"),
            Room("/replays", "Replay"),
            Room("/messages", "Find a message"),
        ),
    ),
    (
        "Workspace",
        (Room("/history", "History"), Room("/people", "People", Role.ADMIN), Room("/tokens", "Tokens", Role.ADMIN)),
    ),
)
