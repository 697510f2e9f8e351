"""Finds the files of an archive by what a person named: paths, addresses in S3, or `-`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gainsight_destination.archive.files import ArchiveFile
from gainsight_destination.archive.local import StandardInput, files_of
from gainsight_destination.errors import UserError

if TYPE_CHECKING:
    from gainsight_destination.archive.s3 import S3

STANDARD_INPUT: Final = "-"
S3_SCHEME: Final = "s3://"


def find_files(places: Sequence[str]) -> list[ArchiveFile]:
    """All files of these places, each once. Raises UserError, or UnavailableError when S3 cannot be reached."""
    found: dict[str, ArchiveFile] = {}
    s3 = open_s3() if any(place.startswith(S3_SCHEME) for place in places) else None
    for place in places:
        for file in files_in(place, s3):
            found.setdefault(file.name, file)
    return list(found.values())


def files_in(place: str, s3: "S3 | None") -> Iterator[ArchiveFile]:
    if s3 is not None and place.startswith(S3_SCHEME):
        yield from s3.objects_of(place.removeprefix(S3_SCHEME))
    elif place == STANDARD_INPUT:
        yield StandardInput()
    else:
        yield from files_of(Path(place))


def open_s3() -> "S3":
    """S3 with the credentials of the environment. Raises UserError when the library for it is not installed."""
    try:
        from gainsight_destination.archive.s3 import S3
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("boto3", "botocore"):
            raise
        raise UserError("to read from S3, install boto3 too: pip install boto3") from None
    return S3()
