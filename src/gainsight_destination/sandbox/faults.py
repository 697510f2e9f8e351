"""Faults on demand: rules say which calls fail, and how. The first rule that fires decides.

Every rule counts the calls that fit its method and path, so that `nth: 3` is the third such call whatever other rules
do. Chance is a digest of the seed and that count: the same calls fail in every run.
"""

import random
import sqlite3
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import Answer, RefusedError, failure
from gainsight_destination.sandbox.quota import throttled
from gainsight_destination.sandbox.tenant import Tenant

Kind = Literal[
    "400", "403", "404", "408", "413", "429", "429-apig", "500", "502", "503", "504", "result-false",
    "timeout-before-commit", "timeout-after-commit", "slow", "truncated-json", "not-json", "redirect", "unauthorized",
    "forbidden-ip", "disconnect-before", "disconnect-after",
]  # fmt: skip
COMMITTED: Final = frozenset({"timeout-after-commit", "disconnect-after", "slow", "truncated-json"})
"""Faults of calls that do their work all the same."""
LOST: Final = frozenset({"timeout-before-commit", "timeout-after-commit", "disconnect-before", "disconnect-after"})
HELD: Final = frozenset({"timeout-before-commit", "timeout-after-commit"})
GATEWAY_TEXTS: Final = {
    "408": "Request Time-out",
    "413": "Request Entity Too Large",
    "502": "Bad Gateway",
    "503": "Service Temporarily Unavailable",
    "504": "Gateway Time-out",
}
HOLD_SECONDS: Final = 30.0
Count = Annotated[int, msgspec.Meta(ge=1)]


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which calls a rule is for. `path` is a glob without the query; counts begin at 1."""

    method: str | None = None
    path: str | None = None
    nth: Count | None = None
    every: Count | None = None
    first: Count | None = msgspec.field(name="from", default=None)
    last: Count | None = msgspec.field(name="to", default=None)
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: int = 0

    def fits(self, method: str, path: str) -> bool:
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or fnmatchcase(path, self.path)
        )

    def chooses(self, count: int) -> bool:
        """Whether the `count`-th fitting call is meant."""
        return (
            (self.nth is None or count == self.nth)
            and (self.every is None or count % self.every == 0)
            and (self.first is None or count >= self.first)
            and (self.last is None or count <= self.last)
            and (self.probability is None or random.Random(f"{self.seed}:{count}").random() < self.probability)  # noqa: S311 - chance of a rehearsal
        )


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule. `times` ends it after so many faults; `seconds` is how slow `slow` is."""

    fault: Kind
    match: Match = Match()
    times: Count | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 1.0


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules. `hold_seconds` is how long a timeout keeps the connection open."""

    rules: tuple[Rule, ...] = ()
    hold_seconds: Annotated[float, msgspec.Meta(ge=0)] = HOLD_SECONDS


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call."""

    kind: str
    seconds: float

    @property
    def commits(self) -> bool:
        return self.kind in COMMITTED

    @property
    def loses(self) -> bool:
        """The caller gets no answer."""
        return self.kind in LOST

    def wait_seconds(self) -> float:
        """How long to wait, by the clock, before answering or closing."""
        return self.seconds if self.kind in HELD or self.kind == "slow" else 0

    def spoil(self, answer: Answer) -> Answer:
        """The answer of a call that did its work, as the caller gets it."""
        if self.kind != "truncated-json":
            return answer
        return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.media_type, answer.headers)

    def answer(self, request_id: str) -> Answer:
        """The answer of a call that did nothing."""
        match self.kind:
            case "408" | "413" | "502" | "503" | "504":
                text = f"{self.kind} {GATEWAY_TEXTS[self.kind]}"
                return _page(int(self.kind), text)
            case "not-json":
                return _page(200, "Scheduled maintenance")
            case "redirect":
                return Answer(302, b"", "text/html", {"location": "/login"})
        return failure(self._refusal(), request_id)

    def _refusal(self) -> RefusedError:
        match self.kind:
            case "429":
                return throttled(answers.THROTTLE)
            case "429-apig":
                return throttled(answers.GATEWAY_THROTTLE)
            case "result-false":
                return RefusedError(200, answers.SERVER_FAULT, answers.SERVER_FAULT_TEXT)
            case "unauthorized":
                return RefusedError(401, answers.UNAUTHORIZED, "Unauthorized")
            case "forbidden-ip":
                return RefusedError(403, answers.ADDRESS_REFUSED, "IP Address does not lie in range of whitelisted ips")
            case "403":
                return RefusedError(403, None, "Forbidden")
            case "404":
                return RefusedError(404, answers.NOT_FOUND, "Not Found")
            case "400":
                return RefusedError(400, answers.INVALID_VALUE, "A rule of the tenant refuses this request")
        return RefusedError(500, answers.SERVER_FAULT, answers.SERVER_FAULT_TEXT)


def read_faults(given: Any) -> Faults:
    """Check rules as read from YAML or JSON: a list, or an object with `rules`. Raises InvalidSettingsError."""
    if isinstance(given, list):
        given = {"rules": given}
    rules = given.get("rules") if isinstance(given, dict) else None
    if isinstance(rules, list):
        rules = [_with_text_fault(rule) for rule in rules]
        given = {**given, "rules": rules}
    try:
        return msgspec.convert(given, Faults)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError([f"{error}; known faults: {', '.join(get_args(Kind))}"]) from error


def set_faults(connection: sqlite3.Connection, faults: Faults) -> None:
    """Replace all rules; their counts begin anew."""
    connection.execute("DELETE FROM fault_rules")
    connection.executemany(
        "INSERT INTO fault_rules (position, rule) VALUES (?, ?)",
        [(position, msgspec.json.encode(rule).decode()) for position, rule in enumerate(faults.rules)],
    )
    connection.execute(
        "INSERT INTO settings VALUES ('hold_seconds', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (faults.hold_seconds,),
    )


def show_faults(connection: sqlite3.Connection) -> dict[str, Any]:
    """The rules, each with the calls it has seen and the faults it has caused."""
    rules = [
        {**msgspec.json.decode(rule), "seen": seen, "fired": fired}
        for rule, seen, fired in connection.execute("SELECT rule, seen, fired FROM fault_rules ORDER BY position")
    ]
    return {"hold_seconds": _hold_seconds(connection), "rules": rules}


def choose_fault(tenant: Tenant, method: str, path: str) -> Fault | None:
    """The fault of this call, if any."""
    chosen: Rule | None = None
    rows = tenant.connection.execute("SELECT position, rule, seen, fired FROM fault_rules ORDER BY position").fetchall()
    for position, text, seen, fired in rows:
        rule = msgspec.json.decode(text, type=Rule)
        if not rule.match.fits(method, path):
            continue
        exhausted = rule.times is not None and fired >= rule.times
        fires = chosen is None and not exhausted and rule.match.chooses(seen + 1)
        chosen = rule if fires else chosen
        tenant.connection.execute(
            "UPDATE fault_rules SET seen = seen + 1, fired = fired + ? WHERE position = ?", (int(fires), position)
        )
    if chosen is None:
        return None
    return Fault(chosen.fault, _hold_seconds(tenant.connection) if chosen.fault in HELD else chosen.seconds)


def _hold_seconds(connection: sqlite3.Connection) -> float:
    row = connection.execute("SELECT value FROM settings WHERE name = 'hold_seconds'").fetchone()
    return HOLD_SECONDS if row is None else float(row[0])


def _with_text_fault(rule: Any) -> Any:
    """YAML reads `fault: 429` as a number."""
    if isinstance(rule, dict) and isinstance(rule.get("fault"), int):
        return {**rule, "fault": str(rule["fault"])}
    return rule


def _page(status: int, text: str) -> Answer:
    body = f"<html><head><title>{text}</title></head><body><center><h1>{text}</h1></center></body></html>\r\n"
    return Answer(status, body.encode(), "text/html")
