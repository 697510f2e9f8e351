"""`replay` beside a running server, and across its death."""

import json
from collections.abc import Callable
from typing import Any

from tests.support.system import System, wait_until
from typer.testing import CliRunner

from gainsight_destination.cli.app import app
from gainsight_destination.cli.status import in_words
from gainsight_destination.errors import UserError


def test_a_replay_by_a_running_server(make_system: Callable[..., System]) -> None:
    """Previewed, started, done by the server; started once more while it is down, done once it is up. Told by `status`,
    `list` and `show`, in words too; what makes no sense is refused with what to do."""
    system = make_system()
    account = {"account_id": "acme.test"}
    system.send(*(("track", {"user_id": f"u{n}", "event": "Seen", "properties": account}) for n in range(3)))
    system.settled(3)

    def said(*arguments: str) -> str:
        ran = CliRunner().invoke(app, ["replay", *arguments, "--data", str(system.data)])
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return ran.output

    def told(*arguments: str) -> Any:
        return json.loads(said(*arguments, "--json"))

    def refused(*arguments: str) -> str:
        try:
            said(*arguments)
        except UserError as error:
            return str(error)
        raise AssertionError("not refused")

    def unfinished() -> list[Any]:
        found: list[Any] = system.status_in_files()["destinations"]["gainsight"]["replays"]
        return found

    assert "--everything alone" in refused("start")
    assert "--everything alone" in refused("preview", "--everything", "--event", "Seen")
    assert "there are: website" in refused("start", "--source", "shop")
    assert "there is no replay 1" in refused("pause", "1")
    shown = told("preview", "--everything", "--again")
    assert (shown["messages"]["chosen"], shown["records"]["due"]) == (3, {"event": 3, "usage": 3})
    lines = said("preview", "--event", "Seen")
    assert lines.startswith("3 messages chosen of 3 in that part of the log\n")
    assert "3 event records would be due" in lines
    assert "takes at most 2 calls" in lines
    first = told("start", "--event", "Seen", "--again")
    assert first["serverRunning"]
    wait_until(lambda: not unfinished(), "the first replay")
    assert told("show", "1")["records"]["delivered"] == 6
    system.kill_serve()
    assert "goes on when `serve` is started" in said("start", "--everything")
    document = {"serverRunning": False, "refused": {"everything": None, "sources": {}}, **system.status_in_files()}
    assert "  replay 2: running; looked at 0 of 3 messages, 0 records wait" in in_words(document)
    system.start_serve()
    wait_until(lambda: not unfinished(), "the second replay")
    lines = said("show", "2")
    assert "replay 2 to gainsight: done; 3 messages taken to its records" in lines
    assert "6 records due (3 event, 3 usage) = 0 delivered + 6 unchanged, without a call + 0 refused" in lines
    assert "is done" in refused("cancel", "2")
    assert [replay["id"] for replay in told("list")] == [2, 1]
    assert len(system.rows("Segment_Event__gc")) == 3
