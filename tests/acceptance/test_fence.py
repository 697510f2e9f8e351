"""Two servers on one data directory whose locks do not hold: only the later one delivers, and nothing is done twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.senders import sending
from tests.support.system import System, wait_until

from gainsight_destination.runtime.ingest_process import ENGINE_STOPPED

EVENTS = "Segment_Event__gc"


def test_two_servers_never_deliver_for_one_destination(make_system: Callable[..., System], tmp_path: Path) -> None:
    """The later server takes charge; the earlier one calls Gainsight no more, says why and ends."""
    first = make_system(flushSeconds=0.2, callsPerMinute=10_000)
    first.control("PUT", "switches", {"calls_per_minute": None})
    account = next(row["SfdcAccountId"] for row in first.rows("company") if len(row["SfdcAccountId"]) == 18)
    (tmp_path / "second").mkdir()
    second = System(tmp_path / "second", **first.settings)
    second.data = first.data
    with sending(first.ingest_url, account) as to_first:
        wait_until(to_first.more(20), "messages at the first")
        for role in ("ingest", "engine"):
            (first.data / f"{role}.lock").unlink()
        try:
            second.start_serve()
            assert first.wait_for("serve") == ENGINE_STOPPED
            with sending(second.ingest_url, account, names="t") as to_second:
                wait_until(to_second.more(20), "messages at the second")
            acknowledged = {*to_first.acknowledged, *to_second.acknowledged}
            calls = first.settled(second.books()["received"])["calls"]
        finally:
            second.stop()
    rows = Counter(row["Message_Id__gc"] for row in first.rows(EVENTS))
    assert set(rows.values()) == {1}
    assert {message_id for message_id in acknowledged if message_id.startswith("track")} <= rows.keys()
    accepted = first.control("GET", "quota")["accepted"]
    assert accepted <= calls["total"] <= accepted + 1, "every call is in the ledger"
    told = (first.directory / "serve.txt").read_text()
    assert "another gainsight-destination has taken charge of this data directory" in told
