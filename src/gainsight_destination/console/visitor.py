"""Who asks: a person with a session, or a program with a token."""

from dataclasses import dataclass

from starlette.requests import Request

from gainsight_destination.access.people import Person
from gainsight_destination.access.roles import Role


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who was let in. `name` is who did it, for the audit."""

    name: str
    role: Role
    person: Person | None = None
    """None: a token."""

    def is_still(self, now: "Visitor | None") -> bool:
        """Whether this is who asks now, with the same role."""
        return now is not None and (now.name, now.role) == (self.name, self.role)

    @property
    def sees_personal_data(self) -> bool:
        return self.role.may(Role.EDITOR)


def visitor_of(request: Request) -> Visitor:
    """Who asks, on a route that lets nobody else in."""
    visitor = request.state.visitor
    assert isinstance(visitor, Visitor)
    return visitor
