"""What a destination declares and does, so that the engine need not know whom it delivers to.

A *record destination* keeps records in another system equal to what the messages say. It declares its objects in the
order in which they must be delivered, says for each resolved message which records it touches (`place`, pure), and
computes what a record should hold (`project`, reads only the store). The engine keeps books, versions, batches, quota,
retries and dead letters; it hands due records to `deliver`, which makes the calls through the engine's `Calls`.

A *message destination* gets each message as it came, in order per user. To the engine it is a record destination with
one `ordered` object, whose records are the messages; see destinations/messages.py.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

# -- from messages to records


class Delivery(msgspec.Struct, gc=False):
    """A message on its way to one destination. Ids are the store's; see the table `deliveries`."""

    offset: int
    source_id: int
    type: str
    message_id: str
    identity_id: int
    anonymous_id: int | None
    """The identity that this message links to `identity_id`."""
    at_ms: int
    received_at_ms: int
    event_id: int | None = None
    said_account: int | None = None
    said_email: int | None = None
    user_id: int = 0
    account_id: int | None = None
    email_id: int | None = None
    state: str = ""
    reason: str = ""
    open_records: int = 0
    own_record: int | None = None
    """The record that belongs to this message alone, once there is one."""
    parked_records: int = 0
    dead_records: int = 0
    without_account: bool = False
    """It waited in vain for an account and is to be delivered without one."""
    untrusted: bool = False
    """Its source is not believed about `said_account`: another account is in force for its user."""


class Correction(NamedTuple):
    """What a person corrected about a field: its value from `at_ms` on, or (`unset`) that nothing is sent for it."""

    at_ms: int
    value: Any
    unset: bool = False


class Statement(msgspec.Struct, frozen=True, gc=False):
    """What an identify or group message says about a record, beside its traits."""

    account_id: int | None = None
    """The account in force for the message's user at its time."""
    says_member: int | None = None
    """The account of which the message is a membership fact."""
    has_traits: bool = True
    """Whether the message's traits are about this record."""


class Contribution(msgspec.Struct, frozen=True, gc=False):
    """A record that a message touches. `key` is made of the store's ids; `tally_user`: count the message there."""

    object: str
    key: str
    tally_user: int | None = None
    statement: Statement | None = None


class Placement(msgspec.Struct, frozen=True, gc=False):
    """Where a message goes: its records, or (`state` filtered or parked, with the reason) nowhere for now."""

    contributions: tuple[Contribution, ...] = ()
    state: Literal["filtered", "parked", ""] = ""
    reason: str = ""


# -- from records to calls


Presence = Literal["absent", "uncertain", "present"]
"""Whether the other side holds a record. Uncertain: an insert was sent and its answer never came."""


class Record(NamedTuple):
    """A record due for delivery."""

    id: int
    object: str
    key: str
    version: int
    """The store's revision when it was planned: what came later is not in what it should hold, or may not be."""
    presence: Presence
    remote_id: str | None
    attempts: int
    delivered_digest: bytes | None
    dirty_since_ms: int


class Reference(NamedTuple):
    """A record that others point at by its remote id: its object and its name (an account id, an e-mail)."""

    object: str
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a record should hold, in the destination's own terms, computed from the store.

    `fields` is JSON-able; `name` is the record's key in words people know; `references` are the records it points
    at. `notices` are (kind, subject) of what was cut, skipped or left out.
    """

    record: Record
    name: str
    fields: Mapping[str, Any]
    references: tuple[Reference, ...] = ()
    awaits_reference: bool = False
    """A record it points at is about to be delivered for the first time: a moment's wait saves a second call."""
    wanted: bool = True
    """False when no message says anything of this record any more, so that it need not be created."""
    notices: tuple[tuple[str, str], ...] = ()


class Upload(NamedTuple):
    """A file in a multipart request, and the form fields beside it."""

    file_name: str
    media_type: str
    content: bytes
    fields: tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """One HTTP request to the destination's system, without credentials. `body` is JSON.

    `content`: the body as it has to go over the wire, when every byte counts; `headers` go with this call alone.
    """

    method: str
    path: str
    body: Any = None
    query: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    inserts: bool = False
    """Sending it twice could create something twice."""
    upload: Upload | None = None
    """A file in place of a body: worked off in the background, perhaps also when no answer came; has its own quota."""


class Answer(NamedTuple):
    """What came back: status and the decoded JSON body (None when it was not JSON)."""

    status: int
    body: Any
    text: str


# -- outcomes per record


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other system holds the draft. `digest` identifies what was delivered."""

    digest: bytes
    remote_id: str | None = None
    missing: tuple[Reference, ...] = ()
    """References that were empty; when they become known the record is due again."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The other system refuses this record; nothing but a change of record, mapping or tenant can help."""

    code: str
    message: str
    call: Call
    answer: Answer
    field: str = ""
    """The field whose value is refused, if the other system says."""


@dataclass(frozen=True, slots=True)
class Parked:
    """It cannot be delivered until something appears on the other side."""

    reason: str
    recheck_seconds: float


@dataclass(frozen=True, slots=True)
class Submitted:
    """The other system took it and will tell later, under this job id."""

    remote_job_id: str
    digest: bytes
    poll_seconds: float
    missing: tuple[Reference, ...] = ()
    upload: bool = False
    """It went in a file: what the other side holds is not known before it was worked off."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing wrong with the record; try again after this time (None: the longer, the more attempts have failed)."""

    seconds: float | None
    reason: str
    failed: bool = False
    """It counts as an attempt that failed."""
    presence: Presence | None = None
    """What is now known of whether the other side holds it."""
    batch_limit: int | None = None
    """Go in batches of at most this many from now on, until delivered."""


@dataclass(frozen=True, slots=True)
class Unneeded:
    """No message wants the record any more, and the other side does not hold it."""


Outcome = Delivered | Unneeded | Rejected | Parked | Submitted | Deferred


# -- looking before the first call


class Finding(NamedTuple):
    """One thing that is wrong, and what to do about it."""

    severity: Literal["error", "warning"]
    object: str
    field: str
    what_to_do: str


class Report(NamedTuple):
    """What a check of the other side found. `connected` says whether it answered at all."""

    connected: bool
    objects: dict[str, dict[str, str]]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return self.connected and not any(finding.severity == "error" for finding in self.findings)


# -- errors of a call, by what the engine does next


class CallError(Exception):
    """Base of what a call can raise. `call` and `answer` are for the record's history."""

    def __init__(self, message: str, call: Call, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.call = call
        self.answer = answer


class ThrottledError(CallError):
    """The quota of the other side is used up: wait for its next minute. Not a failure."""


class TransientError(CallError):
    """The other side is in trouble: back off. `uncertain`: it may have done what was asked."""

    uncertain = True


class AuthenticationError(CallError):
    """The key is refused: pause the destination and tell a person."""


class MisconfiguredError(CallError):
    """An object, field or route is missing on the other side: pause this object and tell a person."""


class Refusal(NamedTuple):
    """What is said of one refused record. `field`: the one that is meant, if that is said."""

    code: str
    message: str
    field: str = ""


class BatchRejectedError(CallError):
    """Data in the call is refused. `culprits` maps positions in the call to what is said of them; empty if unknown."""

    def __init__(self, message: str, call: Call, answer: Answer, code: str, culprits: Mapping[int, Refusal]) -> None:
        super().__init__(message, call, answer)
        self.code = code
        self.culprits = culprits
        self.record_ids: tuple[int, ...] | None = None
        """The records in the call, by position; None: all of the batch."""


class Token(NamedTuple):
    """Headers that let calls in for so many seconds from when they were asked for. Never logged or stored."""

    headers: tuple[tuple[str, str], ...]
    seconds: float


class TokenGrant(Protocol):
    """How the engine gets a token for a destination's calls."""

    def request(self) -> Call:
        """The call that asks for one, with its own credentials."""
        ...

    def read(self, answer: Answer) -> Token:
        """The token in an answer. Raises the call error of one that has none, AuthenticationError for a refusal."""
        ...

    def refused(self, answer: Answer) -> bool:
        """Whether an answer to another call says that the token is not good; then the call did nothing."""
        ...


class QuotaSpentError(Exception):
    """No call is left of our share now; `retry_at_ms` says when there will be."""

    def __init__(self, retry_at_ms: int) -> None:
        super().__init__(f"no call left until {retry_at_ms}")
        self.retry_at_ms = retry_at_ms


class Calls(Protocol):
    """The engine's way to call out: spends the quota durably first, keeps the time limit, follows no redirect."""

    async def send(self, call: Call, about: Sequence[Record] = ()) -> Answer:
        """Make a call. `about` are the records it writes; they are marked uncertain first if it inserts.

        Raises QuotaSpentError before sending; TransientError when no usable answer came.
        """
        ...

    async def known(self, references: Collection[Reference]) -> dict[Reference, str | None]:
        """Remote ids that are known. None: known to be absent; "": there, its id is not known.

        What is unknown, or was absent too long ago, is left out.
        """
        ...

    async def learned(self, remote_ids: Mapping[Reference, str | None]) -> None:
        """Remember remote ids (None: looked for and absent). Records that lacked one become due again."""
        ...

    async def forget(self, references: Collection[Reference]) -> None:
        """What was known of these is no longer sure."""
        ...


Arrival = Literal["live", "retry", "archive", "replay"]
"""Live; tried again, since it failed or a person asked for it; from an archive; read from the log once more."""


EventNames = Callable[[int], str]
"""The name of a track event by the store's number of it."""


class RecordReader(Protocol):
    """What `project` may ask of the store: one consistent snapshot."""

    def account(self, account_id: int) -> str: ...
    def email(self, email_id: int) -> str: ...
    def event_name(self, event_id: int) -> str: ...
    def identity(self, identity_id: int) -> str:
        """The userId or anonymousId as text."""
        ...

    def is_anonymous(self, identity_id: int) -> bool:
        """Whether it is an anonymousId; a userId and an equal anonymousId are two identities."""
        ...

    def email_of_user(self, user_id: int, at_ms: int) -> int | None:
        """The e-mail in force for a user."""
        ...

    def delivery(self, offset: int) -> Delivery:
        """A message on its way to this destination."""
        ...

    def body(self, offset: int) -> Mapping[str, Any] | None:
        """Properties or traits of a message; None when neither log nor store holds it any more."""
        ...

    def arrival(self, record: Record, offset: int) -> Arrival:
        """How the message of a record came to be delivered now."""
        ...

    def original(self, offset: int) -> bytes | None:
        """The whole message of an `ordered` object as JSON, as Segment hands it to a destination; None as above."""
        ...

    def statements(self, record_id: int) -> list[tuple[int, str, Statement, Mapping[str, Any]]]:
        """(at_ms, message id, statement, traits) about a record, oldest first by (at_ms, message id)."""
        ...

    def corrections(self, record_id: int) -> Mapping[str, Correction]:
        """What a person corrected about a record, by field."""
        ...

    def is_on_its_way(self, object_name: str, key: str) -> bool:
        """Whether a record is due, no later than those at hand, that the other side does not hold yet."""
        ...

    def tally(self, record_id: int) -> tuple[int, int, int]:
        """(count, first_at_ms, last_at_ms) of a record; count 0 has no times and gives zeros."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """An object of the destination: its name in the store, and how many records go in one call.

    `per_message`: each record belongs to one message and can be forgotten with it; a destination has one such object
    at most. `referenced`: others point at it. `upserted`: one call takes those that are there and those that are not.
    `of_message`: each record belongs to one message that may have others, its key begins with the message's offset and
    a slash, and it is forgotten with it.
    `ordered`: the records are the messages themselves, and those of one user go one after another; `per_message` too.
    `calls_per_batch`: what a full batch costs, more than one if its result has to be asked for or each record goes
    alone. `max_rows`: as many as the other side's object can hold. `upload_from`: with so many due, a file of up to
    `upload_records` of them costs less than calls.
    """

    name: str
    batch_size: int
    per_message: bool = False
    referenced: bool = False
    upserted: bool = False
    ordered: bool = False
    of_message: bool = False
    calls_per_batch: int = 1
    max_rows: int | None = None
    upload_from: int | None = None
    upload_records: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Our share of the destination's quota, and its patience. `edge_seconds`: kept clear around each minute's turn."""

    calls_per_minute: int
    calls_per_day: int
    flush_seconds: float
    edge_seconds: float = 2.0
    uploads_per_hour: int = 0
    uploads_per_day: int = 0


@dataclass(frozen=True, slots=True)
class Windows:
    """How long late facts matter, in milliseconds since receipt; until then a message and its story are kept."""

    park_ms: int
    parked_then_deliver: bool
    correction_ms: int
    movable: bool = True
    """False: what a message touches does not depend on facts, and it is never delivered twice because of one."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What may be known of a configured destination without its secrets."""

    objects: Sequence[ObjectSpec]
    limits: Limits
    advice: Mapping[str, str]
    why_not_corrected: Callable[[str, str], str | None]


class RecordDestination(Protocol):
    """One configured destination. Built from settings; remembers nothing but metadata."""

    @property
    def integration_name(self) -> str:
        """Its name in the `integrations` object."""
        ...

    @property
    def objects(self) -> Sequence[ObjectSpec]:
        """In the order in which they are delivered."""
        ...

    @property
    def limits(self) -> Limits: ...
    @property
    def windows(self) -> Windows: ...
    @property
    def account_names(self) -> tuple[str, ...]:
        """Trait and property names of the account id, best first."""
        ...

    @property
    def base_url(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """Credentials; never logged or stored."""
        ...

    @property
    def token_grant(self) -> "TokenGrant | None":
        """How to get a token for the calls; None when `headers` let them in."""
        ...

    @property
    def advice(self) -> Mapping[str, str]:
        """What a person can do about a record that was refused with a code."""
        ...

    def why_not_corrected(self, object_name: str, field: str) -> str | None:
        """Why a person cannot correct this field of a record; None if it can be."""
        ...

    def supports(self, message_type: str) -> bool: ...
    @property
    def allowlist(self) -> Collection[str]:
        """Names of the track events it wants; empty: all of them."""
        ...

    def place(self, delivery: Delivery, event_name: "EventNames") -> Placement:
        """Which records a resolved message touches. Pure; `event_name` gives the name of a track's `event_id`."""
        ...

    @property
    def placing(self) -> Mapping[str, str]:
        """The settings that `place` depends on: for each object on which they bear, a text. Stored.

        Another text of an object means other records, or the same ones in another place on the other side.
        """
        ...

    def place_as(self, delivery: Delivery, placing: Mapping[str, str], event_name: "EventNames") -> Placement:
        """Which records a message touched under the settings that gave this `placing`. Pure."""
        ...

    async def prepare(self, object_name: str, calls: Calls, now_ms: int) -> None:
        """Learn what `project` needs to know of the other side's object, if it is not known freshly."""
        ...

    def forget_metadata(self, object_name: str) -> None:
        """What was learned of the other side's object is no longer sure."""
        ...

    def project(self, reader: RecordReader, records: Sequence[Record]) -> list[Draft]:
        """What records of one object should hold, in the same order. `prepare` has run."""
        ...

    async def deliver(self, drafts: Sequence[Draft], calls: Calls, worthwhile: int = 1) -> Mapping[int, Outcome]:
        """Make the other system hold the drafts; an outcome per record id.

        They are of one object, and all present or all absent, unless the object is `upserted`.
        With fewer changed drafts than `worthwhile` it makes no write: the unchanged are `Delivered`, the others
        `Deferred` by 0 seconds, to go together with more.
        Writes with one call at most; what needs another call is `Deferred` by 0 seconds. Raises the call errors
        above; then no record of the batch has changed on the other side, unless the error is uncertain.
        """
        ...

    async def upload(self, drafts: AsyncIterator[Sequence[Draft]], calls: Calls) -> Mapping[int, Outcome]:
        """Make the other system hold drafts of one object by one file; an outcome for those it took.

        It takes from the chunks as much as fits. Asked only of an object with `upload_from`. Raises as `deliver`.
        """
        ...

    async def locate(self, drafts: Sequence[Draft], calls: Calls) -> Mapping[int, Presence]:
        """Whether the other side holds records whose insert had no answer, by record id."""
        ...

    async def find(self, references: Sequence[Reference], calls: Calls) -> None:
        """Look again for references that were absent, and tell `calls.learned`."""
        ...

    async def poll(
        self, remote_job_id: str, object_name: str, records: Sequence[tuple[int, bytes]], calls: Calls
    ) -> Mapping[int, Outcome] | None:
        """Outcomes of a submitted job by record id, from (record id, digest) in request order; None: not yet."""
        ...

    async def probe(self, calls: Calls, now_ms: int) -> None:
        """The cheapest call that tells whether the credentials are good. Raises as `deliver`."""
        ...


@dataclass(frozen=True, slots=True)
class Connected:
    """A configured destination and the sources connected to it."""

    id: int
    name: str
    source_ids: frozenset[int]
    destination: RecordDestination
    consent_categories: frozenset[str] = frozenset()
    """What a message's end user has to have consented to, if the message says anything about consent."""
