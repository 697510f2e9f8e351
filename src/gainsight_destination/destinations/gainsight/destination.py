"""The Gainsight destination as the engine sees it: placement, projection and delivery put together."""

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from hashlib import blake2b
from typing import Any, Final

from gainsight_destination.destinations.contract import (
    BatchRejectedError,
    Call,
    Calls,
    Deferred,
    Delivered,
    Delivery,
    Draft,
    EventNames,
    Limits,
    MisconfiguredError,
    ObjectSpec,
    Outcome,
    Parked,
    Placement,
    Presence,
    Record,
    RecordReader,
    Reference,
    Refusal,
    Rejected,
    Submitted,
    TokenGrant,
    TransientError,
    Windows,
)
from gainsight_destination.destinations.gainsight import files, requests
from gainsight_destination.destinations.gainsight.oauth import OAuthGrant
from gainsight_destination.destinations.gainsight.placement import (
    COMPANY,
    EVENT,
    PERSON,
    TRIGGER,
    USAGE,
    place,
    placing_of,
    settings_placing,
)
from gainsight_destination.destinations.gainsight.projection import NOT_CORRECTED, Projection
from gainsight_destination.destinations.gainsight.responses import (
    ADVICE,
    NO_COMPANY,
    NO_ROW,
    NO_ROWS,
    read_answer,
    records_of,
)
from gainsight_destination.destinations.gainsight.schema import Schema, parse_schema
from gainsight_destination.destinations.gainsight.settings import GainsightSettings
from gainsight_destination.destinations.gainsight.triggers import LOOKED_AT, Triggers
from gainsight_destination.events.account_ids import normalise_account_id, spellings
from gainsight_destination.events.timestamps import DAY_MS

INTEGRATION_NAME: Final = "Gainsight"
"""Segment's catalog name of this destination: the one people write into the `integrations` object."""

SUPPORTED: Final = frozenset({"identify", "track", "group"})
KEY_FIELDS: Final = {EVENT: "Message_Id__gc", USAGE: "Usage_Key__gc"}
LOW_VOLUME_ROWS: Final = 1_000_000
"""Gainsight documents that a Low Volume object, the only kind that its REST API writes, holds so many."""
UNKNOWN_COMPANY: Final = "unknown_company"
RECHECK_COMPANY_SECONDS: Final = 1_860.0
"""A little longer than an absence is trusted, so that the recheck does ask Gainsight."""
ASYNC_FROM_PEOPLE: Final = 3
"""From this many people on, one asynchronous call and the look at its result cost less than single calls."""
FIRST_POLL_SECONDS: Final = 5.0
FIRST_FILE_POLL_SECONDS: Final = 30.0
FILE_ENDED: Final = frozenset({"COMPLETED", "FAILED", "ABORTED"})
"""Gainsight documents the first; the others are those of its export."""
METADATA_FRESH_MS: Final = 24 * 3_600_000
"""Metadata is read again after so long; at once after a refusal, a pause or a retry, when it may have changed."""


class GainsightDestination:
    """One configured Gainsight tenant."""

    integration_name = INTEGRATION_NAME
    advice: Mapping[str, str] = ADVICE
    account_names: tuple[str, ...]

    def __init__(self, settings: GainsightSettings) -> None:
        self.settings = settings
        self.account_names = tuple(settings.account_id_names)
        self.objects: Sequence[ObjectSpec] = tuple(
            ObjectSpec(
                name,
                LOOKED_AT if name == TRIGGER else requests.MAX_RECORDS,
                per_message=name == EVENT,
                of_message=name == TRIGGER,
                referenced=name in (COMPANY, PERSON),
                upserted=name == PERSON,
                calls_per_batch={PERSON: 2, TRIGGER: LOOKED_AT}.get(name, 1),
                max_rows=LOW_VOLUME_ROWS if name in KEY_FIELDS else None,
                upload_from=files.UPLOAD_FROM_RECORDS if self._job_id(name) else None,
                upload_records=files.MAX_FILE_RECORDS if self._job_id(name) else 0,
            )
            for name, wanted in (
                (COMPANY, True),
                (PERSON, True),
                (TRIGGER, bool(settings.triggers)),
                (EVENT, settings.event_object is not None),
                (USAGE, settings.usage_object is not None),
            )
            if wanted
        )
        self.limits = Limits(
            settings.calls_per_minute,
            settings.calls_per_day,
            settings.flush_seconds,
            uploads_per_hour=files.FILES_PER_HOUR,
            uploads_per_day=files.FILES_PER_DAY,
        )
        self.windows = Windows(
            park_ms=int(settings.park_days * DAY_MS),
            parked_then_deliver=settings.parked_then == "deliver",
            correction_ms=int(settings.correction_days * DAY_MS),
        )
        self.base_url = settings.domain
        self.allowlist: Collection[str] = settings.events
        self._projection = Projection(settings)
        self._triggers = Triggers(settings)
        self._schemas: dict[str, Schema] = {}
        self._described_at_ms: dict[str, int] = {}
        self._people_in_bulk = True
        self._companies_listed = False

    def _job_id(self, object_name: str) -> str | None:
        """The import job of an object, if one is set up; people cannot have one, and companies need none."""
        return self.settings.bulk_jobs.get(self.api_name(object_name)) if object_name in KEY_FIELDS else None

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.settings.access_key is None else {"accesskey": self.settings.access_key}

    @property
    def token_grant(self) -> TokenGrant | None:
        settings = self.settings
        if settings.client_id is None or settings.client_secret is None:
            return None
        return OAuthGrant(settings.client_id, settings.client_secret)

    def why_not_corrected(self, object_name: str, field: str) -> str | None:
        if object_name == COMPANY and field == self.settings.account_field:
            return "it is the key"
        return NOT_CORRECTED.get(object_name, {}).get(field)

    # -- messages to records

    def supports(self, message_type: str) -> bool:
        return message_type in SUPPORTED

    def place(self, delivery: Delivery, event_name: EventNames) -> Placement:
        return place(delivery, self.settings, self._triggers, event_name)

    @property
    def placing(self) -> Mapping[str, str]:
        return placing_of(self.settings)

    def place_as(self, delivery: Delivery, placing: Mapping[str, str], event_name: EventNames) -> Placement:
        return place(delivery, settings_placing(self.settings, placing), self._triggers, event_name)

    # -- records to drafts

    def api_name(self, object_name: str) -> str:
        """Gainsight's name of one of our objects."""
        names = {
            COMPANY: requests.COMPANY_OBJECT,
            PERSON: requests.PERSON_OBJECT,
            EVENT: self.settings.event_object,
            USAGE: self.settings.usage_object,
        }
        return names[object_name] or ""

    async def prepare(self, object_name: str, calls: Calls, now_ms: int) -> None:
        if object_name == TRIGGER:
            return
        if object_name in self._schemas and now_ms - self._described_at_ms[object_name] < METADATA_FRESH_MS:
            return
        call = requests.describe(self.api_name(object_name))
        answer = await calls.send(call)
        try:
            schema = parse_schema(self.api_name(object_name), read_answer(call, answer))
        except BatchRejectedError as error:
            raise MisconfiguredError(str(error), call, answer) from error
        missing = [name for name in self._key_fields(object_name) if name not in schema.fields]
        if missing:
            raise MisconfiguredError(
                f"the object {schema.object_name} lacks the field {missing[0]}; `check` lists what to create",
                call,
                answer,
            )
        self._schemas[object_name] = schema
        self._described_at_ms[object_name] = now_ms

    def _key_fields(self, object_name: str) -> tuple[str, ...]:
        if object_name == COMPANY:
            return (self.settings.account_field,)
        return (KEY_FIELDS[object_name],) if object_name in KEY_FIELDS else ("Email",)

    def forget_metadata(self, object_name: str) -> None:
        self._schemas.pop(object_name, None)

    def project(self, reader: RecordReader, records: Sequence[Record]) -> list[Draft]:
        drafts = []
        for record in records:
            if record.object == TRIGGER:
                drafts.append(self._triggers.draft(reader, record))
                continue
            project = getattr(self._projection, record.object)
            drafts.append(project(reader, record, self._schemas[record.object]))
        return drafts

    # -- drafts to calls

    async def deliver(self, drafts: Sequence[Draft], calls: Calls, worthwhile: int = 1) -> Mapping[int, Outcome]:
        if drafts[0].record.object == TRIGGER:
            return await self._triggers.deliver(drafts, calls)
        remote_ids = await self._company_ids({r for d in drafts for r in d.references if r.object == COMPANY}, calls)
        people = [r for d in drafts for r in d.references if r.object == PERSON]
        remote_ids |= await calls.known(people)
        object_name = drafts[0].record.object
        if object_name == COMPANY:
            return await self._deliver_companies(drafts, remote_ids, calls, worthwhile)
        if object_name == PERSON:
            return await self._deliver_people(drafts, remote_ids, calls, worthwhile)
        return await self._deliver_rows(drafts, remote_ids, calls, worthwhile)

    async def _company_ids(self, wanted: Set[Reference], calls: Calls) -> dict[Reference, str | None]:
        """GSIDs of Companies by our references, asking Gainsight for those not known freshly."""
        known = await calls.known(wanted)
        if not self._companies_listed and wanted - known.keys():
            listed, complete = await self._list_companies(calls)
            self._companies_listed = True
            absent = dict.fromkeys(wanted - listed.keys() - known.keys()) if complete else {}
            await calls.learned(listed | absent)
            known |= {reference: listed.get(reference) for reference in wanted & (listed.keys() | absent.keys())}
        unknown = sorted(wanted - known.keys())
        for start in range(0, len(unknown), requests.MAX_RECORDS):
            known |= await self._query_companies(unknown[start : start + requests.MAX_RECORDS], calls)
        return known

    async def _list_companies(self, calls: Calls) -> tuple[dict[Reference, str | None], bool]:
        """GSIDs of as many Companies as one call gives, and whether those are all."""
        field = self.settings.account_field
        call = requests.list_all(requests.COMPANY_OBJECT, field)
        rows = self._rows_found(call, await calls.send(call))
        listed: dict[Reference, str | None] = {}
        for row in rows:
            account = row.get(field)
            if isinstance(account, str) and account.strip():
                listed.setdefault(Reference(COMPANY, normalise_account_id(account)), str(row["Gsid"]))
        return listed, len(rows) < requests.QUERY_ROWS

    async def _query_companies(self, unknown: Sequence[Reference], calls: Calls) -> dict[Reference, str | None]:
        reference_of = {spelling: reference for reference in unknown for spelling in spellings(reference.name)}
        field = self.settings.account_field
        call = requests.find_by(requests.COMPANY_OBJECT, field, sorted(reference_of))
        found: dict[Reference, str | None] = dict.fromkeys(unknown)
        for row in self._rows_found(call, await calls.send(call)):
            reference = reference_of.get(str(row.get(field)))
            if reference is not None and found[reference] is None:
                found[reference] = str(row["Gsid"])
        await calls.learned(found)
        return found

    def _rows_found(self, call: Any, answer: Any) -> list[Mapping[str, Any]]:
        """Rows of a query; Gainsight answers "no match" as an error in some places."""
        try:
            return [row for row in records_of(read_answer(call, answer)) if row.get("Gsid")]
        except BatchRejectedError as error:
            if error.code in NO_ROWS.codes:
                return []
            raise

    async def find(self, references: Sequence[Reference], calls: Calls) -> None:
        companies = [reference for reference in references if reference.object == COMPANY]
        if companies:
            await self._query_companies(companies[: requests.MAX_RECORDS], calls)

    async def _deliver_companies(
        self, drafts: Sequence[Draft], remote_ids: Mapping[Reference, str | None], calls: Calls, worthwhile: int
    ) -> Mapping[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        there = [draft for draft in drafts if remote_ids.get(draft.references[0]) is not None]
        absent = [draft for draft in drafts if remote_ids.get(draft.references[0]) is None]
        changed = [draft for draft in there if draft.fields and digest(draft.fields) != draft.record.delivered_digest]
        outcomes |= {draft.record.id: Delivered(digest(draft.fields)) for draft in there if draft not in changed}
        if not self.settings.create_companies:
            outcomes |= {draft.record.id: Parked(UNKNOWN_COMPANY, RECHECK_COMPANY_SECONDS) for draft in absent}
        elif changed:
            outcomes |= {draft.record.id: Deferred(0, "the next call inserts it") for draft in absent}
        elif absent:
            outcomes |= await self._insert_companies(absent, calls)
        if changed and len(changed) + len(absent) < worthwhile:
            return outcomes | _held(changed)
        if changed:
            call = requests.update_companies(changed, remote_ids)
            try:
                await _write(call, changed, calls)
            except BatchRejectedError as error:
                if error.code not in NO_COMPANY.codes or len(changed) > 1:
                    raise
                await calls.learned({changed[0].references[0]: None})
                outcomes[changed[0].record.id] = Deferred(0, "its Company is gone; look again")
                return outcomes
            outcomes |= {
                draft.record.id: Delivered(digest(draft.fields), remote_ids[draft.references[0]]) for draft in changed
            }
        return outcomes

    async def _insert_companies(self, drafts: Sequence[Draft], calls: Calls) -> dict[int, Outcome]:
        call = requests.insert_companies(drafts, self.settings)
        rows = records_of(await _write(call, drafts, calls))
        gsids = [str(row["Gsid"]) for row in rows if row.get("Gsid")]
        if len(gsids) != len(drafts):
            return {draft.record.id: Deferred(0, "look for the Companies just inserted") for draft in drafts}
        await calls.learned({draft.references[0]: gsid for draft, gsid in zip(drafts, gsids, strict=True)})
        return {
            draft.record.id: Delivered(digest(draft.fields), gsid) for draft, gsid in zip(drafts, gsids, strict=True)
        }

    async def _deliver_people(
        self, drafts: Sequence[Draft], remote_ids: Mapping[Reference, str | None], calls: Calls, worthwhile: int
    ) -> Mapping[int, Outcome]:
        digests = {d.record.id: digest(requests.person_body(d, remote_ids)) for d in drafts}
        outcomes: dict[int, Outcome] = {
            d.record.id: Delivered(digests[d.record.id], missing=_missing(d, remote_ids))
            for d in drafts
            if digests[d.record.id] == d.record.delivered_digest
        }
        changed = [draft for draft in drafts if draft.record.id not in outcomes]
        if len(changed) < worthwhile:
            return outcomes | _held(changed)
        if len(changed) >= ASYNC_FROM_PEOPLE and self._people_in_bulk:
            try:
                return outcomes | await self._submit_people(changed, remote_ids, digests, calls)
            except MisconfiguredError:
                self._people_in_bulk = False
        if changed:
            first, *rest = changed
            call = requests.upsert_person(first, remote_ids, self.settings)
            data = await _write(call, [first], calls)
            gsid = data.get("Gsid") if isinstance(data, Mapping) else None
            outcomes[first.record.id] = Delivered(digests[first.record.id], gsid, _missing(first, remote_ids))
            outcomes |= {draft.record.id: Deferred(0, "its own call follows") for draft in rest}
        return outcomes

    async def _submit_people(
        self,
        drafts: Sequence[Draft],
        remote_ids: Mapping[Reference, str | None],
        digests: Mapping[int, bytes],
        calls: Calls,
    ) -> dict[int, Outcome]:
        call = requests.upsert_people(drafts, remote_ids, self.settings)
        data = await _write(call, drafts, calls)
        status_id = data.get("statusId") if isinstance(data, Mapping) else None
        if not status_id:
            raise MisconfiguredError("Gainsight gave no statusId for an asynchronous people request", call)
        return {
            draft.record.id: Submitted(
                str(status_id), digests[draft.record.id], FIRST_POLL_SECONDS, _missing(draft, remote_ids)
            )
            for draft in drafts
        }

    async def poll(
        self, remote_job_id: str, object_name: str, records: Sequence[tuple[int, bytes]], calls: Calls
    ) -> Mapping[int, Outcome] | None:
        if object_name in KEY_FIELDS:
            return await self._poll_file(remote_job_id, records, calls)
        call = requests.people_status(remote_job_id, self.settings)
        answer = await calls.send(call)
        data = read_answer(call, answer)
        if not isinstance(data, Mapping) or data.get("status") != "COMPLETED":
            return None
        refused, unplaced = _refused_rows(data, len(records))
        outcomes: dict[int, Outcome] = {}
        for position, (record_id, digested) in enumerate(records):
            if position in refused:
                code, message, field = refused[position]
                outcomes[record_id] = Rejected(code, message, call, answer, field)
            elif unplaced:  # somebody was refused, and it is not said who: one call each will tell
                outcomes[record_id] = Deferred(0, "refused together with others", batch_limit=1)
            else:
                outcomes[record_id] = Delivered(digested)
        return outcomes

    async def _deliver_rows(
        self, drafts: Sequence[Draft], remote_ids: Mapping[Reference, str | None], calls: Calls, worthwhile: int
    ) -> Mapping[int, Outcome]:
        object_name = drafts[0].record.object
        rows = {draft.record.id: requests.row(draft, remote_ids) for draft in drafts}
        digests = {d.record.id: _row_digest(rows[d.record.id], d, remote_ids) for d in drafts}
        changed = [draft for draft in drafts if digests[draft.record.id] != draft.record.delivered_digest]
        outcomes: dict[int, Outcome] = {
            draft.record.id: Delivered(digests[draft.record.id], missing=_missing(draft, remote_ids))
            for draft in drafts
        }
        if not changed or len(changed) < worthwhile:
            return outcomes | _held(changed)
        update = changed[0].record.presence == "present"
        call = requests.write_rows(
            self.api_name(object_name),
            KEY_FIELDS[object_name],
            [rows[draft.record.id] for draft in changed],
            update=update,
        )
        try:
            await _write(call, changed, calls)
        except BatchRejectedError as error:
            if not update or error.code not in NO_ROW.codes or len(changed) > 1:
                raise
            outcomes[changed[0].record.id] = Deferred(0, "its row is gone; insert it again", presence="absent")
        return outcomes

    # -- files

    async def upload(self, drafts: AsyncIterator[Sequence[Draft]], calls: Calls) -> Mapping[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        file: files.CsvFile | None = None
        carried: list[tuple[Record, bytes, tuple[Reference, ...]]] = []
        is_full = False
        async for chunk in drafts:
            remote_ids = await self._company_ids({r for d in chunk for r in d.references if r.object == COMPANY}, calls)
            remote_ids |= await calls.known([r for d in chunk for r in d.references if r.object == PERSON])
            for draft in chunk:
                record, row = draft.record, requests.row(draft, remote_ids)
                file = file or files.CsvFile(files.columns(record.object, self.settings))
                digested, missing = _row_digest(row, draft, remote_ids), _missing(draft, remote_ids)
                if digested == record.delivered_digest:
                    outcomes[record.id] = Delivered(digested, missing=missing)
                    continue
                line = file.line_of(row, clears=record.presence == "present")
                if line is None:
                    outcomes[record.id] = Deferred(0, "CSV cannot say it", batch_limit=requests.MAX_RECORDS)
                elif file.add(line):
                    carried.append((record, digested, missing))
                else:
                    is_full = True
                    break
            if is_full:
                break
        if file is None or not carried:
            return outcomes
        if len(carried) < files.UPLOAD_FROM_RECORDS and not is_full:
            few = Deferred(0, "too few for a file", batch_limit=requests.MAX_RECORDS)
            return outcomes | {record.id: few for record, _, _ in carried}
        return outcomes | await self._import(file, carried, calls)

    async def _import(
        self, file: files.CsvFile, carried: Sequence[tuple[Record, bytes, tuple[Reference, ...]]], calls: Calls
    ) -> dict[int, Outcome]:
        job_id = self._job_id(carried[0][0].object)
        assert job_id is not None
        call = files.import_file(job_id, file.content())
        answer = await calls.send(call, [record for record, _, _ in carried])
        data = read_answer(call, answer)
        status_id = data.get("statusId") if isinstance(data, Mapping) else None
        if not status_id:  # it was taken, but cannot be asked for
            raise TransientError("Gainsight gave no statusId for a file", call, answer)
        return {
            record.id: Submitted(str(status_id), digested, FIRST_FILE_POLL_SECONDS, missing, upload=True)
            for record, digested, missing in carried
        }

    async def _poll_file(
        self, status_id: str, records: Sequence[tuple[int, bytes]], calls: Calls
    ) -> Mapping[int, Outcome] | None:
        """A row that may have been refused goes by a call, which tells for sure and keeps what was said of it."""
        call = files.import_status(status_id)
        data = read_answer(call, await calls.send(call))
        if not isinstance(data, Mapping) or data.get("status") not in FILE_ENDED:
            return None
        count = data.get("count")
        written = count.get("success") if isinstance(count, Mapping) else None
        doubtful = files.doubtful_rows(data.get("errors"), len(records), written)
        again = Deferred(0, "its row may have been refused", batch_limit=requests.MAX_RECORDS)
        return {
            record_id: again if position in doubtful else Delivered(digested)
            for position, (record_id, digested) in enumerate(records)
        }

    async def locate(self, drafts: Sequence[Draft], calls: Calls) -> Mapping[int, Presence]:
        object_name = drafts[0].record.object
        if object_name in (COMPANY, PERSON, TRIGGER):
            await calls.forget([r for draft in drafts for r in draft.references if object_name == COMPANY])
            return {draft.record.id: "absent" for draft in drafts}
        field = KEY_FIELDS[object_name]
        call = requests.find_by(self.api_name(object_name), field, [draft.name for draft in drafts])
        found = {str(row.get(field)) for row in self._rows_found(call, await calls.send(call))}
        return {draft.record.id: "present" if draft.name in found else "absent" for draft in drafts}

    async def probe(self, calls: Calls, now_ms: int) -> None:
        self.forget_metadata(COMPANY)
        self._people_in_bulk = True
        await self.prepare(COMPANY, calls, now_ms)


def digest(content: Any) -> bytes:
    """Identifies what was delivered, so that an unchanged record costs no call."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _row_digest(row: Mapping[str, Any], draft: Draft, remote_ids: Mapping[Reference, str | None]) -> bytes:
    return digest([row, [remote_ids.get(reference) is not None for reference in draft.references]])


def _held(drafts: Sequence[Draft]) -> dict[int, Outcome]:
    return {draft.record.id: Deferred(0, "waits for a fuller batch") for draft in drafts}


def _missing(draft: Draft, remote_ids: Mapping[Reference, str | None]) -> tuple[Reference, ...]:
    return tuple(reference for reference in draft.references if remote_ids.get(reference) is None)


def _refused_rows(data: Mapping[str, Any], people: int) -> tuple[dict[int, Refusal], bool]:
    """Positions of people that an asynchronous request refused, with what it says, and whether others were too.

    The keys of these errors are not documented: an error whose position cannot be read may be anybody's.
    """
    refused: dict[int, Refusal] = {}
    errors = data.get("errors") or []
    unplaced = not isinstance(errors, list)
    for error in errors if isinstance(errors, list) else []:
        position = error.get("row", error.get("rowNumber")) if isinstance(error, Mapping) else None
        if isinstance(position, int) and 0 <= position < people:
            field = str(error.get("field") or "")
            message = f"{error.get('message') or error.get('errorMessage') or ''} (field {field})"
            refused[position] = Refusal(str(error.get("code") or error.get("errorCode") or ""), message, field)
        else:
            unplaced = True
    return refused, unplaced


async def _write(call: Call, drafts: Sequence[Draft], calls: Calls) -> Any:
    """Send a call that writes drafts and read its answer; a refusal knows which records the call carried."""
    answer = await calls.send(call, [draft.record for draft in drafts])
    try:
        return read_answer(call, answer)
    except BatchRejectedError as error:
        error.record_ids = tuple(draft.record.id for draft in drafts)
        raise
