"""Acknowledged is stored: `serve` is killed at random moments under load, and every 200 is looked for in the log."""

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.soak import SOAK

from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.runtime.testing import RunningServe, running_serve, write_sources
from gainsight_destination.workspace.model import Source

ROUNDS = 100 if SOAK else 16
SENDERS = 8
AUTHORIZATION = b"Authorization: Basic a2V5Og==\r\n"  # key:


@dataclass
class Sent:
    """What the senders of one round know: bodies answered with 200, and when to pull the plug."""

    serve: RunningServe
    kill_after: int
    acknowledged: list[bytes] = field(default_factory=list)

    def note(self, body: bytes) -> None:
        self.acknowledged.append(body)
        if len(self.acknowledged) == self.kill_after:
            self.serve.process.kill()


def a_request(name: str, dice: random.Random) -> tuple[bytes, bytes]:
    """A single message or a batch whose body is like no other, and its path."""
    padding = "é" * dice.choice([0, 10, 1_000, 10_000])
    message = {"messageId": name, "properties": {"padding": padding}}
    if dice.random() < 0.5:
        return b"/v1/track", json.dumps({**message, "event": "x"}, ensure_ascii=False).encode()
    count = dice.randint(1, 5)
    return b"/v1/batch", json.dumps({"batch": [message] * count, "sentAt": name}, ensure_ascii=False).encode()


async def send(sent: Sent, sender: str, dice: random.Random) -> None:
    """Post until the server is gone; note each acknowledged body."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(sent.serve.host, sent.serve.port)
        with contextlib.closing(writer):
            for number in range(100_000):
                path, body = a_request(f"{sender}-{number}", dice)
                head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION
                writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                answer = await reader.readuntil(b"}")
                assert answer.startswith(b"HTTP/1.1 200 ")
                sent.note(body)


async def load_until_killed(serve: RunningServe, round_number: int, dice: random.Random) -> list[bytes]:
    sent = Sent(serve, kill_after=dice.randint(1, 300))
    await asyncio.gather(*(send(sent, f"{round_number}-{sender}", dice) for sender in range(SENDERS)))
    return sent.acknowledged


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_every_acknowledged_message_survives_kill_9(tmp_path: Path) -> None:
    """After each kill the log holds, exactly as sent, what was answered with 200; its counts agree."""
    write_sources(tmp_path / "state.db", [Source(1, "website", "key")])
    seed = random.SystemRandom().randrange(10**6)
    dice, checked = random.Random(seed), 0
    for round_number in range(ROUNDS):
        with running_serve(tmp_path) as serve:
            acknowledged = asyncio.run(load_until_killed(serve, round_number, dice))
            assert serve.process.wait() == -9
        log = SqliteEventLog(tmp_path / "log.db")
        entries = log.read(checked, max_messages=10**9)
        checked = log.end()
        stored = {logged.entry.body for logged in entries}
        assert [body for body in acknowledged if body not in stored] == [], f"lost in round {round_number}, seed {seed}"
        assert checked == sum(log.received().values()) == entries[-1].end
        log.close()
