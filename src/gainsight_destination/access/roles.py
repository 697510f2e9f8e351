"""What somebody may do on the private port."""

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may. Stored: never rename."""

    VIEWER = "viewer"
    """Looks; personal data is masked."""
    EDITOR = "editor"
    """Sees personal data, changes sources and destinations, retries and replays."""
    ADMIN = "admin"
    """Lets people in."""

    def may(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


MEANING = {
    Role.VIEWER: "sees everything, with personal data masked",
    Role.EDITOR: "sees personal data, changes sources and destinations, retries and replays",
    Role.ADMIN: "also lets people in and makes tokens",
}
