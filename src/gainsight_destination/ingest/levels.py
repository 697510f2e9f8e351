"""Looks once a second at what decides who may send: the unread part of the log, the disk, the day of each source.

A look reads sums and headers, so it takes as long for an empty log as for a full one, and it runs in a thread. What is
refused meanwhile is written into a small file of the data directory, for `status`.
"""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UnavailableError
from gainsight_destination.eventlog.backlog import read_bytes, unread_bytes
from gainsight_destination.eventlog.contract import DAY_MS, EventLog
from gainsight_destination.ingest.admission import Admission, Episode
from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.ingest.watermarks import Levels
from gainsight_destination.observe import metrics
from gainsight_destination.store.database import connect

LOOK_SECONDS: Final = 1.0
FILE: Final = "refused.json"
NOTHING_REFUSED: Final[Mapping[str, Any]] = {"everything": None, "sources": {}}

logger = structlog.get_logger(__name__)


class LevelWatch:
    """Keeps an admission true. `state_path` is `state.db`; what is refused is told beside it."""

    def __init__(
        self, admission: Admission, log: EventLog, state_path: Path, sources: StoredSources, *, clock: Clock
    ) -> None:
        self._admission = admission
        self._log = log
        self._state_path = state_path
        self._sources = sources
        self._clock = clock
        self._told: str | None = None
        self._stumbles = False

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.judge(await asyncio.to_thread(self.look))
            await asyncio.to_thread(self.tell)

    def look(self) -> Levels | None:
        """What there is now; None while it cannot be known. May block."""
        try:
            with closing(connect(self._state_path, read_only=True)) as state:
                read, reusable = read_bytes(state), reusable_bytes(state)
            disk = shutil.disk_usage(self._state_path.parent)
            day = self._clock.now_ms() // DAY_MS
            levels = Levels(
                unread=unread_bytes(read, self._log),
                read=sum(read.values()),
                day={id_: sums.bytes_on(day) for id_, sums in self._log.received_in_detail().items()},
                volume=disk.total,
                free=disk.free,
                log_reusable=self._log.reusable_bytes(),
                state_reusable=reusable,
            )
        except (sqlite3.Error, OSError, UnavailableError) as error:
            if not self._stumbles:
                logger.warning("backlog and disk cannot be looked at", reason=str(error))
            self._stumbles = True
            return None
        self._stumbles = False
        return levels

    def judge(self, levels: Levels | None) -> None:
        """Open and close by what was seen. Unknown levels leave everything as it is."""
        if levels is None:
            return
        self._admission.judge(levels, self._sources.all())
        metrics.log_unread_bytes.set(levels.backlog)
        metrics.disk_free_bytes.set(levels.free)
        closed = self._admission.closed
        for reason in ("backlog", "disk"):
            metrics.ingest_closed.labels(reason).set(closed is not None and closed.refusal.reason == reason)

    def tell(self) -> None:
        """Write down what is refused, when that has changed. A disk that refuses is left alone."""
        text = json.dumps(refused_now(self._admission))
        if text == self._told:
            return
        file = self._state_path.with_name(FILE)
        draft = file.with_suffix(".new")
        try:
            draft.write_text(text, "utf-8")
            os.replace(draft, file)
        except OSError as error:
            logger.debug("what is refused cannot be written down", reason=str(error))
            return
        self._told = text


def reusable_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of a SQLite file that hold nothing any more."""
    (pages,), (page_bytes,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size")
    )
    return int(pages * page_bytes)


def refused_now(admission: Admission) -> dict[str, Any]:
    """What is refused, as JSON: `everything`, and `sources` by name; each with its reason, words and beginning."""
    return {
        "everything": _told(admission.closed) if admission.closed else None,
        "sources": {gate.source.name: _told(gate.episode) for gate in list(admission.gates.values()) if gate.episode},
    }


def _told(episode: Episode) -> Mapping[str, Any]:
    return {"reason": episode.refusal.reason, "words": episode.refusal.words, "since": episode.since_ms}


def read_refused(data_dir: Path) -> Mapping[str, Any]:
    """What a running server wrote down last."""
    try:
        found: dict[str, Any] = json.loads((data_dir / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return NOTHING_REFUSED
    return found
