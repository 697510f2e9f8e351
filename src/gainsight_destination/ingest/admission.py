"""Who may send now: what the public port asks before it takes a request, and how that changes with what is seen.

Once a second the levels are judged (ingest/levels.py looks at them); a request only reads what came of it. Past the
high marks everything is refused. Sources over their fair share, or over the limits that the workspace file gives them,
are refused alone. What is refused is not stored, and is always a 429: every Segment SDK repeats it, more of them heed
its Retry-After than that of a 503, and Node does not count the attempt (docs/adr/0015).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.ingest.allowance import Allowance
from gainsight_destination.ingest.answers import RefusedForNowError
from gainsight_destination.ingest.read_json import ReadBody
from gainsight_destination.ingest.watermarks import (
    DrainRate,
    Levels,
    Refusal,
    Watermarks,
    over_their_share,
    refusal_of_all,
)
from gainsight_destination.observe import metrics
from gainsight_destination.workspace.model import NO_LIMITS, Source, SourceKind

QUIET_MS: Final = 60_000
"""A source that was not refused for so long is well again: one line in the logs for a source that scrapes its limit."""
SERVER_BUSY: Final = "The server takes no more messages at the moment"
SOURCE_BUSY: Final = "This source sends more than it may"

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Episode:
    """Something is refused since `since_ms`, and so many requests were."""

    refusal: Refusal
    since_ms: int
    last_ms: int
    requests: int = 0


@dataclass(slots=True)
class Gate:
    """What one source has to pass."""

    source: Source
    over_share: Refusal | None = None
    allowance: Allowance | None = None
    episode: Episode | None = None

    def check(self, messages: int, size_bytes: int, now_ms: int) -> Refusal | None:
        """Let a request through, or say why not."""
        refusal = self.over_share or (self.allowance.take(messages, size_bytes, now_ms) if self.allowance else None)
        if refusal is not None:
            self._refused(refusal, now_ms)
        return refusal

    def _refused(self, refusal: Refusal, now_ms: int) -> None:
        if self.episode is None:
            self.episode = Episode(refusal, now_ms, now_ms)
            logger.warning("a source is refused", source=self.source.name, reason=refusal.words)
        self.episode.refusal, self.episode.last_ms = refusal, now_ms
        self.episode.requests += 1

    def end_episode(self, now_ms: int) -> None:
        """Forget an episode that is over."""
        episode = self.episode
        if episode and self.over_share is None and now_ms - episode.last_ms >= QUIET_MS:
            logger.info("a source is taken again", source=self.source.name, refused_requests=episode.requests)
            self.episode = None

    def is_needed(self) -> bool:
        return bool(self.over_share or self.allowance or self.episode)


@dataclass(slots=True)
class Admission:
    """The state of the public port's doors. Belongs to the event loop."""

    clock: Clock
    marks: Watermarks = field(default_factory=Watermarks)
    closed: Episode | None = None
    """Why everything is refused."""
    gates: dict[int, Gate] = field(default_factory=dict)
    """By source id; most sources have none."""
    _drain: DrainRate = field(default_factory=DrainRate)

    def enter(self) -> None:
        """Ask before anything of a request is read. Raises RefusedForNowError."""
        if self.closed is not None:
            self.closed.requests += 1
            self._refuse(self.closed.refusal, "", SERVER_BUSY)

    def admit(self, source: Source | None, read: ReadBody) -> None:
        """Ask before the messages of a source are stored. Raises RefusedForNowError."""
        self.enter()
        if source is not None and (gate := self.gates.get(source.id)) is not None:
            refusal = gate.check(read.count, len(read.body), self.clock.now_ms())
            if refusal is not None:
                self._refuse(refusal, source.name, SOURCE_BUSY)

    @staticmethod
    def _refuse(refusal: Refusal, source_name: str, words: str) -> None:
        metrics.ingest_refused_of(refusal.reason, source_name).inc()
        raise RefusedForNowError(words, refusal.retry_seconds)

    def judge(self, levels: Levels, sources: Iterable[Source]) -> None:
        """Open and close by what was seen; `sources` are those configured now."""
        now_ms = self.clock.now_ms()
        self._drain.saw(now_ms, levels.read)
        self._judge_all(levels, now_ms)
        self._judge_sources(levels, {source.id: source for source in sources if source.enabled}, now_ms)

    def _judge_all(self, levels: Levels, now_ms: int) -> None:
        earlier = self.closed
        refusal = refusal_of_all(self.marks, levels, self._drain, earlier.refusal if earlier else None)
        if refusal is None:
            if earlier is not None:
                logger.info("messages are taken again", refused_requests=earlier.requests)
            self.closed = None
        elif earlier is None or earlier.refusal.reason != refusal.reason:
            logger.warning("all messages are refused", reason=refusal.words)
            self.closed = Episode(refusal, now_ms, now_ms)
        else:
            earlier.refusal, earlier.last_ms = refusal, now_ms

    def _judge_sources(self, levels: Levels, sources: Mapping[int, Source], now_ms: int) -> None:
        earlier = {source_id for source_id, gate in self.gates.items() if gate.over_share}
        senders = [source.id for source in sources.values() if source.kind is not SourceKind.IMPORT]
        over = over_their_share(self.marks, levels, self._drain, senders, earlier)
        gates: dict[int, Gate] = {}
        for source in sources.values():
            gate = self.gates.get(source.id) or Gate(source)
            gate.source = source
            gate.over_share = over.get(source.id)
            gate.allowance = allowance_of(source, gate.allowance)
            if gate.allowance is not None:
                gate.allowance.know_day(now_ms, levels.day.get(source.id, 0))
            gate.end_episode(now_ms)
            if gate.is_needed():
                gates[source.id] = gate
        self.gates = gates


def allowance_of(source: Source, earlier: Allowance | None) -> Allowance | None:
    """What the source has left: what it had, while its limits are the same."""
    if source.limits == NO_LIMITS:
        return None
    return earlier if earlier and earlier.limits == source.limits else Allowance(source.limits)
