"""Passwords: Argon2id, by OWASP's second choice of parameters, which takes 19 MiB for some tens of milliseconds."""

from functools import cache
from typing import TYPE_CHECKING, Final

from gainsight_destination.errors import UserError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST: Final = 10
LONGEST: Final = 200


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # takes memory, and few starts of the program need it

    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@cache
def _nobodys() -> str:
    """Verified in place of a password that is not there, so that the time tells nothing."""
    return _hasher().hash("nobody has this password")


def hashed(password: str) -> str:
    """What is stored. Raises UserError for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UserError(f"a password has {SHORTEST} to {LONGEST} characters; this one has {len(password):,}")
    return _hasher().hash(password)


def is_right(stored: str | None, password: str) -> bool:
    """Whether this is the password. Takes as long when there is none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(stored or _nobodys(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
