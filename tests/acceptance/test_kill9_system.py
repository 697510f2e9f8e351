"""kill -9 in the middle of a stream: nothing acknowledged is missing, nothing is counted twice, the books balance."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import httpx
from tests.support.system import WRITE_KEY, System

EVENTS, USAGE = "Segment_Event__gc", "Segment_Usage_Daily__gc"


class Sender:
    """Posts single events, and sends each again until it is acknowledged, as SDKs do."""

    def __init__(self, system: System, account: str, name: str) -> None:
        self._system = system
        self._account = account
        self._name = name
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        with httpx.Client(trust_env=False, timeout=5, auth=(WRITE_KEY, "")) as client:
            while not self._stop.is_set():
                message_id = f"{self._name}-{number}"
                body = {
                    "userId": f"user-{number % 5}",
                    "event": f"Event {number % 3}",
                    "messageId": message_id,
                    "properties": {"accountId": self._account},
                }
                if self._post(client, body):
                    self.acknowledged.append(message_id)
                    number += 1

    def _post(self, client: httpx.Client, body: dict[str, object]) -> bool:
        try:
            return client.post(f"{self._system.ingest_url}/v1/track", json=body).status_code == 200
        except httpx.TransportError:
            return False


def test_nothing_acknowledged_is_lost_or_counted_twice(make_system: Callable[..., System]) -> None:
    """Three kills under load, and deliveries under way: every acknowledged event is one row and counts once."""
    system = make_system(flushSeconds=0.5, callsPerMinute=1000)
    system.control("PUT", "switches", {"calls_per_minute": 10_000})
    account = next(row for row in system.rows("company") if len(row["SfdcAccountId"]) == 18)
    senders = [Sender(system, account["SfdcAccountId"], f"s{n}") for n in range(3)]
    for sender in senders:
        sender.start()
    chance = random.Random(4)
    for _ in range(3):
        time.sleep(chance.uniform(0.6, 1.4))
        system.kill_serve()
        system.start_serve()
    time.sleep(0.5)
    for sender in senders:
        sender.finish()
    acknowledged = [message_id for sender in senders for message_id in sender.acknowledged]
    assert len(acknowledged) > 50

    def done() -> int:
        return int(system.books()["received"])

    books = system.settled(done(), seconds=90)
    rows = Counter(row["Message_Id__gc"] for row in system.rows(EVENTS))
    assert set(acknowledged) <= set(rows)
    assert set(rows.values()) == {1}
    assert sum(row["Event_Count__gc"] for row in system.rows(USAGE)) == len(rows)
    assert books["delivered"] == len(rows)
    assert books["received"] == books["delivered"] + books["duplicates"]
