"""What reaches a running product while a test lasts, read where it is stored."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from gainsight_destination.eventlog.contract import EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from tests.support.system import System, wait_until


class Arrivals:
    """The messages that a product took since this was made."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._start = self._log_end()
        self._before = self._books()

    def _log(self) -> SqliteEventLog:
        return SqliteEventLog(self.system.data / "log.db", read_only=True)

    def _log_end(self) -> int:
        with closing(self._log()) as log:
            return log.end()

    def _books(self) -> Mapping[str, Any]:
        books: Mapping[str, Any] = self.system.status_in_files()["destinations"]["gainsight"]
        return books

    def items(self) -> list[dict[str, Any]]:
        """The messages as they came, one more often if it came more often."""
        with closing(self._log()) as log:
            entries = [logged.entry for logged in log.read(self._start, max_messages=1_000_000)]
        found: list[dict[str, Any]] = []
        for entry in entries:
            content = json.loads(entry.body)
            batch = (
                content["batch"] if entry.kind is EntryKind.BATCH else [{"type": entry.kind.name.lower(), **content}]
            )
            found += batch
        return found

    def times(self) -> Counter[str]:
        """How often each message id came."""
        return Counter(str(item.get("messageId")) for item in self.items())

    def check(self, calls: Sequence[Mapping[str, Any]], *, repeated: bool | None = False) -> None:
        """Wait for these messages: they came as they were sent, and no other; each counts once.

        `repeated` says whether some had to come twice, because the first answer was lost; None that they may have.
        """
        wanted = {str(call["messageId"]): call for call in calls}

        def all_came() -> bool:
            times = self.times()
            return wanted.keys() <= times.keys() and (not repeated or max(times.values()) > 1)

        try:
            wait_until(all_came, "every message")
        except AssertionError as error:
            missing = [call for message_id, call in wanted.items() if message_id not in self.times()]
            raise AssertionError(f"{error}: {len(missing)} did not come: {missing[:1]}") from None
        items = self.items()
        times = Counter(str(item["messageId"]) for item in items)
        assert times.keys() == wanted.keys(), sorted(times.keys() - wanted.keys())
        changed = [(call, item) for item in items if unlike(call := wanted[str(item["messageId"])], item)]
        assert not changed, changed[0]
        books = self.system.settled(self._before["received"] + len(items))
        duplicates = books["duplicates"] - self._before["duplicates"]
        assert duplicates == len(items) - len(wanted), times.most_common(3)
        assert repeated in (None, duplicates > 0), times.most_common(3)


def unlike(call: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """What was said in a call and did not arrive so.

    SDKs may say more: Node's repeats the name of a page in its properties. RudderStack's put the traits of an identify
    into its context.
    """
    came = {"traits": (item.get("context") or {}).get("traits"), **item}
    return {name: came.get(name) for name, value in call.items() if not says(came.get(name), value)}


def says(came: Any, told: Any) -> bool:
    if isinstance(came, dict) and isinstance(told, dict):
        return came | told == came
    return bool(came == told)
