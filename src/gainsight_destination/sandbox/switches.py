"""What the sandbox does where Gainsight's documentation is silent or contradicts itself; each choice is a switch."""

import sqlite3
from typing import Annotated, Any, Final, Literal

import msgspec

from gainsight_destination.errors import InvalidSettingsError

Count = Annotated[int, msgspec.Meta(ge=1)]


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every switch with its default. docs/sandbox.md explains each."""

    object_names: Literal["any_case", "strict"] = "any_case"
    auth_fault: Literal["401", "400"] = "401"
    query_data: Literal["records", "list"] = "records"
    no_rows: Literal["empty", "not_found", "result_false"] = "empty"
    dates_in_reads: Literal["epoch_ms", "iso", "plain"] = "epoch_ms"
    empty_dates: Literal["null", "blank"] = "null"
    bad_record: Literal["whole_batch", "partial"] = "whole_batch"
    error_nesting: Literal["nested", "flat"] = "nested"
    unknown_field: Literal["refuse", "ignore"] = "refuse"
    update_without_match: Literal["refuse", "skip"] = "refuse"
    update_with_several_matches: Literal["all", "refuse"] = "all"
    sfdc_id_as_key: Literal["refuse", "allow"] = "refuse"
    unique_fields: dict[str, list[str]] = {}
    low_volume_cap: Count | None = 1_000_000
    high_volume_writes: Literal["refuse", "allow"] = "refuse"
    calls_per_minute: Count | None = 100
    calls_per_day: Count | None = 50_000
    bulk_calls_per_hour: Count | None = 10
    bulk_calls_per_day: Count | None = 100
    throttle_code: Literal["GU_2400", "GS_APIG_2404"] = "GU_2400"
    token_seconds: Count = 86_400
    job_seconds: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    people_first_row: Literal[0, 1] = 0
    utc_offset_hours: Annotated[float, msgspec.Meta(ge=-12, le=14)] = -8.0


DEFAULTS: Final = Switches()


def load_switches(connection: sqlite3.Connection) -> Switches:
    """The switches as they stand."""
    row = connection.execute("SELECT value FROM settings WHERE name = 'switches'").fetchone()
    return DEFAULTS if row is None else msgspec.json.decode(row[0], type=Switches)


def set_switches(connection: sqlite3.Connection, changes: Any) -> Switches:
    """Change the switches named in `changes`; the others stay. Raises InvalidSettingsError."""
    if not isinstance(changes, dict):
        raise InvalidSettingsError(["switches are a JSON object: name -> value"])
    merged = msgspec.to_builtins(load_switches(connection)) | changes
    try:
        switches = msgspec.convert(merged, Switches)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError([str(error)]) from error
    connection.execute(
        "INSERT INTO settings VALUES ('switches', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (msgspec.json.encode(switches).decode(),),
    )
    return switches
