"""kill -9 again and again under load: nothing acknowledged is missing, nothing counts twice, the books balance."""

import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from signal import SIGKILL
from time import time

import pytest
from tests.support.senders import Senders, sending
from tests.support.soak import SOAK
from tests.support.system import System, wait_until

from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.events.message import messages_of
from gainsight_destination.sandbox.command import DATABASE_NAME

EVENTS, USAGE = "Segment_Event__gc", "Segment_Usage_Daily__gc"
KILLS = 500 if SOAK else 100
LOOK_EVERY = 10
PROGRESS_SECONDS = 60


class Killer:
    """Kills processes of a system at random moments, and looks at what they left behind."""

    def __init__(self, system: System, senders: Senders, seed: int) -> None:
        self.system = system
        self.senders = senders
        self.dice = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self._read_until = 0
        self._in_the_log: set[str] = set()

    def round(self) -> None:
        """Start the server, let it come some way, and kill it; sometimes the engine or Gainsight before it."""
        self.system.spawn_serve()
        if self.dice.random() < 0.4:
            self._moment(0.5)
            self._kill_both()
            return
        self._some_way()
        if self.dice.random() < 0.3:
            self._kill("engine", self.system.engine_pid())
            self._some_way()
        if self.dice.random() < 0.1:
            self.system.kill("sandbox")
            self.kills["sandbox"] += 1
            self.system.start_sandbox()
        self._kill_both()

    def _some_way(self) -> None:
        """Until some more is acknowledged, or some more has arrived at Gainsight."""
        if self.dice.random() < 0.6:
            wait_until(self.senders.more(self.dice.randint(1, 15)), "acknowledgements", PROGRESS_SECONDS)
        else:
            wait_until(self._more_calls(self.dice.randint(1, 3)), "calls", PROGRESS_SECONDS)
        self._moment(0.05)

    def _more_calls(self, count: int) -> Callable[[], bool]:
        """Whether so many more calls than now were answered; read from the file, which costs the least."""

        def calls() -> int:
            with closing(sqlite3.connect(self.system.directory / "sandbox" / DATABASE_NAME)) as tenant:
                return int(tenant.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()[0])

        wanted = calls() + count
        return lambda: calls() >= wanted

    def _kill_both(self) -> None:
        """The two processes of `serve`, in any order, each at its own moment."""
        pids = [("ingest", self.system.pid("serve")), ("engine", self.system.engine_pid())]
        self.dice.shuffle(pids)
        for name, pid in pids:
            self._kill(name, pid)
            self._moment(0.03)
        self.system.kill("serve")

    def _kill(self, name: str, pid: int | None) -> None:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
                self.kills[name] += 1

    def _moment(self, longest_seconds: float) -> None:
        end = time() + self.dice.uniform(0, longest_seconds)
        wait_until(lambda: time() >= end, "a moment")

    def look(self) -> None:
        """With nobody running: what was acknowledged is in the log, and the books balance."""
        acknowledged = set(self.senders.acknowledged)
        if not (self.system.data / "log.db").exists():
            assert not acknowledged
            return
        with closing(SqliteEventLog(self.system.data / "log.db", read_only=True)) as log:
            for logged in log.read(self._read_until, max_messages=10**9):
                self._in_the_log |= {message.message_id for message in messages_of(logged).values()}
                self._read_until = logged.end
        assert acknowledged <= self._in_the_log
        self.system.status_in_files()


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("which", ["one", "two"])
def test_nothing_acknowledged_is_lost_or_counted_twice(which: str, make_system: Callable[..., System]) -> None:
    """Every acknowledged event is one row and counts once, whatever died when: ingest, engine, Gainsight."""
    seed = random.SystemRandom().randrange(10**6)
    system = make_system(flushSeconds=0.5, callsPerMinute=10_000)
    system.control("PUT", "switches", {"calls_per_minute": None})
    account = next(row["SfdcAccountId"] for row in system.rows("company") if len(row["SfdcAccountId"]) == 18)
    system.kill("serve")
    with sending(system.ingest_url, account, senders=2) as senders:
        killer = Killer(system, senders, seed)
        rounds = 0
        while killer.kills.total() < KILLS:
            killer.round()
            rounds += 1
            if rounds % LOOK_EVERY == 0:
                killer.look()
    killer.look()
    system.start_serve()
    books = system.settled(system.books()["received"], seconds=120)
    told = (seed, killer.kills, senders.answers)
    assert senders.without_retry_after == 0, told
    tracks = [message_id for message_id in senders.acknowledged if message_id.startswith("track")]
    rows = Counter(row["Message_Id__gc"] for row in system.rows(EVENTS))
    assert len(tracks) > KILLS / 2, told
    assert set(tracks) <= set(rows), told
    assert set(rows.values()) == {1}, told
    counted: Counter[str] = Counter()
    for row in system.rows(USAGE):
        counted[row["User_Id__gc"]] += row["Event_Count__gc"]
    assert counted == Counter(row["User_Id__gc"] for row in system.rows(EVENTS)), told
    assert books["dead"] == 0, told
    assert books["received"] == books["delivered"] + books["duplicates"], told
    quota = system.control("GET", "quota")
    assert quota["refused"] == 0, told
    assert quota["accepted"] <= books["calls"]["total"] <= quota["accepted"] + killer.kills.total(), told
