"""Senders that post to a real `serve` and repeat what was not acknowledged, as SDKs do."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx

from tests.support.system import WRITE_KEY

PAUSE_SECONDS: Final = 0.04
"""Between two requests of a sender: load, but not all the load that the machine can bear."""
USERS: Final = 5
EVENT_NAMES: Final = 3


class Sender:
    """Posts one message after the other, each until it is acknowledged, in a thread."""

    def __init__(self, url: str, account: str, name: str, *, padding: int = 0) -> None:
        self._url = url
        self._account = account
        self._name = name
        self._padding = "x" * padding
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self.acknowledged: list[str] = []
        self.answers: Counter[int] = Counter()
        self.without_retry_after = 0
        """503s that did not say when to come back."""

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Stop after the request under way; what was never acknowledged counts for nothing."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        with httpx.Client(trust_env=False, timeout=5, auth=(WRITE_KEY, ""), verify=False) as client:
            while not self._stop.is_set():
                message_id, message = self._message(number)
                if self._post(client, message):
                    self.acknowledged.append(message_id)
                    number += 1
                self._stop.wait(PAUSE_SECONDS)

    def _message(self, number: int) -> tuple[str, Mapping[str, Any]]:
        """Every tenth is an identify, the others are tracks."""
        user, kind = f"{self._name}-{number % USERS}", "identify" if number % 10 == 0 else "track"
        message_id = f"{kind}-{self._name}-{number}"
        told = {"type": kind, "userId": user, "messageId": message_id}
        if kind == "identify":
            return message_id, {**told, "traits": {"email": f"{user}@x.test", "lastName": f"No {number}"}}
        properties = {"accountId": self._account, "padding": self._padding}
        return message_id, {**told, "event": f"Event {number % EVENT_NAMES}", "properties": properties}

    def _post(self, client: httpx.Client, message: Mapping[str, Any]) -> bool:
        try:
            answer = client.post(f"{self._url}/v1/{message['type']}", json=message)
        except httpx.TransportError:
            return False
        self.answers[answer.status_code] += 1
        self.without_retry_after += answer.status_code == 503 and "retry-after" not in answer.headers
        return answer.status_code == 200


class Senders:
    """Several of them."""

    def __init__(self, senders: list[Sender]) -> None:
        self.all = senders

    @property
    def acknowledged(self) -> list[str]:
        return [message_id for sender in self.all for message_id in list(sender.acknowledged)]

    @property
    def answers(self) -> Counter[int]:
        return sum((sender.answers.copy() for sender in self.all), Counter())

    @property
    def without_retry_after(self) -> int:
        return sum(sender.without_retry_after for sender in self.all)

    def more(self, count: int) -> Callable[[], bool]:
        """Whether so many more than now are acknowledged."""
        wanted = len(self.acknowledged) + count
        return lambda: len(self.acknowledged) >= wanted


@contextmanager
def sending(url: str, account: str, *, senders: int = 3, padding: int = 0, names: str = "s") -> Iterator[Senders]:
    """Load until the end of the block."""
    all_of_them = [Sender(url, account, f"{names}{n}", padding=padding) for n in range(senders)]
    for sender in all_of_them:
        sender.start()
    try:
        yield Senders(all_of_them)
    finally:
        for sender in all_of_them:
            sender.finish()
