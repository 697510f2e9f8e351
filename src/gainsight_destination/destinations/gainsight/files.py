"""A file for Gainsight's Bulk API: rows as CSV, for an import job that an administrator set up.

The job maps the columns by their header, so the header is always the same. A file holds only what CSV says without
doubt: an empty cell may or may not clear a field, how several items of a multi-select are written is not published, and
a text that a spreadsheet would take for a formula would have to be changed; such rows go by calls.
"""

import csv
import io
from collections.abc import Mapping, Sequence, Set
from hashlib import blake2b
from typing import Any, Final

from gainsight_destination.destinations.contract import Call, Upload
from gainsight_destination.destinations.gainsight.placement import EVENT
from gainsight_destination.destinations.gainsight.projection import PERSON_EMAIL
from gainsight_destination.destinations.gainsight.settings import GainsightSettings
from gainsight_destination.harmless_csv import FORMULA

IMPORT_PATH: Final = "/v1.0/admin/connector/job/bulkimport"
MAX_FILE_BYTES: Final = 79_999_500
"""Gainsight documents 80 MB; a script that is in use keeps to this."""
MAX_FILE_RECORDS: Final = 10_000
"""Two hundred calls' worth. A greater one takes so long to make and to write down that live messages would feel it."""
UPLOAD_FROM_RECORDS: Final = 551
"""More than ten calls' worth."""
FILES_PER_HOUR: Final = 10
FILES_PER_DAY: Final = 100
"""Gainsight documents these for a tenant's Bulk API."""

EVENT_COLUMNS: Final = (
    "Message_Id__gc",
    "Event_Name__gc",
    "Event_Time__gc",
    "User_Id__gc",
    "Account_Id__gc",
    "Company_Id__gc",
    "Properties__gc",
    PERSON_EMAIL,
)
USAGE_COLUMNS: Final = (
    "Usage_Key__gc",
    "Usage_Date__gc",
    "Event_Name__gc",
    "User_Id__gc",
    "Account_Id__gc",
    "Company_Id__gc",
    "Event_Count__gc",
    "First_At__gc",
    "Last_At__gc",
    PERSON_EMAIL,
)


def columns(object_name: str, settings: GainsightSettings) -> tuple[str, ...]:
    """The header of the files of one of our objects."""
    if object_name == EVENT:
        mapped = sorted(set(settings.event_fields.values()) - set(EVENT_COLUMNS))
        return (*EVENT_COLUMNS, *mapped)
    return USAGE_COLUMNS


class CsvFile:
    """A file in the making: UTF-8, a header, a line for each row."""

    def __init__(self, header: Sequence[str]) -> None:
        self._header = header
        self._content = bytearray(self._line(header))

    def line_of(self, row: Mapping[str, Any], *, clears: bool) -> bytes | None:
        """The line of a row; None when CSV cannot say it. `clears`: an empty field would have to be emptied there."""
        for value in row.values():
            if isinstance(value, (dict, list)) or (isinstance(value, str) and (not value or value[0] in FORMULA)):
                return None
            if value is None and clears:
                return None
        if not row.keys() <= set(self._header):  # a person corrected a field that the job does not map
            return None
        try:
            return self._line([_cell(row.get(name)) for name in self._header])
        except UnicodeEncodeError:
            return None

    def add(self, line: bytes) -> bool:
        """Append a line; False, with nothing done, when the file would become too large."""
        if len(self._content) + len(line) > MAX_FILE_BYTES:
            return False
        self._content += line
        return True

    def content(self) -> bytes:
        return bytes(self._content)

    @staticmethod
    def _line(cells: Sequence[str]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerow(cells)
        return text.getvalue().encode("utf-8")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def import_file(job_id: str, content: bytes) -> Call:
    """Hand a file to an import job. The boundary is made of the content, so that the same file is the same request."""
    boundary = blake2b(content, digest_size=16).hexdigest()
    headers = (("Content-Type", f"multipart/form-data; boundary={boundary}"),)
    upload = Upload("records.csv", "text/csv", content, (("jobId", job_id),))
    return Call("POST", IMPORT_PATH, {"jobId": job_id}, headers=headers, inserts=True, upload=upload)


def import_status(status_id: str) -> Call:
    return Call("GET", f"{IMPORT_PATH}/status/{status_id}")


def doubtful_rows(errors: Any, rows: int, written: Any) -> Set[int]:
    """Positions of rows that an ended import may have refused: those its errors may mean, or all if that is not clear.

    Gainsight documents neither the keys of these errors nor whether it counts rows from 0, from 1, or with the header.
    `written`: how many rows it says it wrote.
    """
    refused: set[int] = set()
    found: set[int] = set()
    for error in errors if isinstance(errors, list) else ():
        number = error.get("rowNumber", error.get("row")) if isinstance(error, Mapping) else None
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= rows + 1:
            return set(range(rows))
        refused.add(number)
        found |= {position for position in range(number - 2, number + 1) if 0 <= position < rows}
    return found if written == rows - len(refused) else set(range(rows))
