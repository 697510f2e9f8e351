"""Plays the script of `virtual.py` in processes that die: a server that forks one life of the product after another.

A life takes half a second instead of the two that a start of Python takes. It is a process of its own all the same:
kill -9 ends it, and what it had not written is gone. Run by `Driver`, never by a person.
"""

import asyncio
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.disk import CONTROL, DiskFaults

ROOT: Final = Path(__file__).parents[2]
ENDED_BY_ITSELF: Final = 3
LIFE_SECONDS: Final = 90
MOST_DEATHS: Final = 5
"""So often at most a life is ended that is to be ended each time: a point on the way of every start is passed once."""
MOST_LIVES: Final = 40
CALLS_PER_MINUTE: Final = 60
UNKNOWN_ACCOUNT: Final = "0019X00000Zz9ZzQAJ"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a script that was played to its end."""

    outcome: Mapping[str, Any]
    """What Gainsight holds and what the books say."""
    calls: int
    accepted: int
    refused: int
    most_in_a_minute: int
    """Calls by our ledger; accepted, refused and the busiest minute by Gainsight's."""
    deaths: int
    endings: int
    """Processes that were killed, and that ended by themselves."""
    refusals: int
    """Requests that the last process refused."""
    writes: int
    writes_at_start: int
    """Until the product serves: a write that fails before that may end it, and its start is tried again."""
    disturbed: int
    what: str
    reached: Mapping[str, list[str]]
    log: str

    def assert_same_as(self, undisturbed: "Run", where: object) -> None:
        """Nothing is lost, doubled or forgotten, and no call went out that the ledger does not know."""
        told = (where, self.what, self.log[-4000:])
        assert self.outcome["books"] == undisturbed.outcome["books"], told
        assert self.outcome["held"] == undisturbed.outcome["held"], told
        assert self.refused == 0, told
        assert self.most_in_a_minute <= CALLS_PER_MINUTE, told
        assert self.accepted <= self.calls <= self.accepted + self.deaths + self.endings + self.disturbed, told


class Driver:
    """The server that forks lives, on a disk that may fail."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.disk = DiskFaults(directory / "control")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.disk.path)],
            cwd=ROOT,
            env={**os.environ, **self.disk.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(
        self, name: str, *, point: str = "", nth: int = 0, every: bool = False, nth_write: int = 0, **how: Any
    ) -> Run:
        """Play the script in a new directory, to its end.

        The first life dies when it reaches `point` for the nth time, with `every` each life does so. `nth_write`
        of all lives is disturbed as `how` says, in the words of `DiskFaults.disturb`.
        """
        directory = self._directory / name
        (directory / "data").mkdir(parents=True)
        self.disk.watch(directory / "data")
        self.disk.disturb(nth_write, **how)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        plan = {"directory": str(directory), "point": point, "nth": nth, "every": every}
        self._process.stdin.write(json.dumps(plan) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        log = (directory / "lives.txt").read_text()
        shutil.rmtree(directory)
        assert "error" not in told, f"{told['error']}\n{self.disk.what}\n{log[-6000:]}"
        return Run(
            outcome={"held": told["held"], "books": told["books"]},
            **{
                name: told[name]
                for name in (
                    "accepted",
                    "refused",
                    "most_in_a_minute",
                    "deaths",
                    "endings",
                    "refusals",
                    "reached",
                    "writes_at_start",
                )
            },
            calls=sum(told["calls"]),
            writes=self.disk.count,
            disturbed=self.disk.disturbed,
            what=self.disk.what,
            log=log,
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


# -- the server


def serve(control: str) -> None:
    disk = DiskFaults(Path(control))
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(_play(json.loads(line), disk)), flush=True)


def _play(plan: Mapping[str, Any], disk: DiskFaults) -> dict[str, Any]:
    directory = Path(plan["directory"])
    deaths = endings = 0
    for life in range(MOST_LIVES):
        nth = plan["nth"] if life == 0 or (plan["every"] and deaths < MOST_DEATHS) else 0
        process = os.fork()
        if process == 0:
            os._exit(_live(directory, plan["point"], nth, count=life == 0 and not nth))
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            break
        deaths += code == -signal.SIGKILL
        endings += code == ENDED_BY_ITSELF
        if code not in (-signal.SIGKILL, ENDED_BY_ITSELF):
            return {"error": f"a life ended with {code}"}
    else:
        return {"error": f"not done after {MOST_LIVES} lives"}
    found: dict[str, Any] = json.loads((directory / "outcome.json").read_text())
    return found | {"deaths": deaths, "endings": endings}


def _live(directory: Path, point: str, nth: int, *, count: bool) -> int:
    """One life, in the forked process; its exit code."""
    from gainsight_destination.observe.logs import configure_logs
    from tests.support import crash_points

    signal.alarm(LIFE_SECONDS)
    output = os.open(directory / "lives.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, sys.stderr.fileno())
    configure_logs(part="virtual")
    if nth or count:
        crash_points.watch(point, nth)
    try:
        asyncio.run(_play_on(directory))
    except AssertionError:
        return _told(1)
    except Exception:
        return _told(ENDED_BY_ITSELF)
    return 0


def _told(code: int) -> int:
    import traceback

    traceback.print_exc()
    sys.stderr.flush()
    return code


async def _play_on(directory: Path) -> None:
    from tests.support.crash_points import reached
    from tests.support.virtual import VirtualProduct, script

    product = VirtualProduct(directory)
    await product.start()
    writes_at_start = DiskFaults(Path(os.environ[CONTROL])).count
    await product.play(script(*await product.accounts(), UNKNOWN_ACCOUNT))
    outcome = await product.outcome() | {
        "refusals": product.refusals,
        "reached": reached,
        "writes_at_start": writes_at_start,
    }
    await product.stop()
    with suppress(FileNotFoundError):
        (directory / "outcome.json").unlink()
    (directory / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    from gainsight_destination.eventlog import sqlite
    from tests.support import crash_points, virtual

    assert crash_points.POINTS
    assert virtual.OBJECTS
    sqlite.REMOVE_ENTRIES = 4  # so that shortening the log takes several transactions
    serve(sys.argv[1])
