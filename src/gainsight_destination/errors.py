"""Errors typed by what the caller should do next.

ProductError                 base of everything raised on purpose
|-- UserError                a person gave wrong input; the text says what to change   (CLI: exit 2)
|   `-- InvalidSettingsError one or more settings of the workspace are wrong; `problems` lists each
|-- UnavailableError         a part cannot serve now, nothing is lost; try again        (HTTP 503)
|   `-- StorageFullError     the disk refused a write; recovers by itself when space returns
`-- StoppedError             this process must end: another holds the lock, or data is newer than the code
"""

from collections.abc import Sequence


class ProductError(Exception):
    """Base of every error this product raises on purpose."""


class UserError(ProductError):
    """A person gave wrong input. The message says what to change."""


class InvalidSettingsError(UserError):
    """Settings were refused. `problems` holds one sentence per wrong setting."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnavailableError(ProductError):
    """A part cannot serve now and nothing was lost; the caller should try again."""


class StorageFullError(UnavailableError):
    """The disk refused a write. Nothing of the refused group was stored."""


class StoppedError(ProductError):
    """This process cannot go on, and trying again will not help."""
