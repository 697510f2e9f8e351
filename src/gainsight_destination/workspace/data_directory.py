"""The data directory, before anything is written to it."""

from pathlib import Path

from gainsight_destination.errors import UserError


def make_data_directory(path: Path) -> None:
    """Make the directory if it is not there. Raises UserError when it cannot be one."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path} is a file, or lies in one; name a directory with --data") from None
    except OSError as error:
        raise UserError(f"{path} cannot be made: {error.strerror}; name another directory with --data") from None
