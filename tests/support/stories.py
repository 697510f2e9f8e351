"""Stories: messages, settings and Companies, as Hypothesis makes them up or a file tells them, and ways to send them.

A story is plain JSON, so that one that once went wrong can be kept in tests/data/oracle.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.oracle.accounts import account_id
from tests.oracle.messages import Receipt, iso
from tests.support.pipeline import NOW_MS

INITECH_15, INITECH = "001A0000006Vm9r", account_id("001A0000006Vm9r")
GLOBEX_15 = "001A0000006VM9r"
"""Another account: one letter has another case."""
VANDELAY_15 = "0015000001VanDe"
"""Stored with 15 characters in the sandbox."""
UNKNOWN = "0019X00000Zz9ZzQAJ"
LATE = (UNKNOWN, "acme.test", "555")
LONG = "Long " * 60


@dataclass(frozen=True, repr=False)
class Story:
    """What is sent, in which order it is acknowledged at first, and how the destination is set up."""

    messages: Sequence[Mapping[str, Any]]
    """`source`, `received` (milliseconds after NOW_MS, mostly negative), `item`; perhaps `via` and `envelope`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_time: Sequence[str] = ()
    """Companies that appear while messages wait for them."""
    too_late: Sequence[str] = ()
    """Companies that appear when those messages have been given up."""
    title: str = "(say in one line what goes wrong)"
    limited: Sequence[int] = ()
    """Sources of limited trust."""

    def __repr__(self) -> str:
        """As a file in tests/data/oracle has it."""
        names = ("title", "settings", "in_time", "too_late", "limited", "messages")
        return json.dumps({name: getattr(self, name) for name in names}, ensure_ascii=False)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def receipts(self, order: Sequence[int]) -> list[Receipt]:
        return [receipt_of(self.messages[position]) for position in order]


def story_of(document: Mapping[str, Any]) -> Story:
    return Story(
        document["messages"],
        document.get("settings", {}),
        document.get("in_time", ()),
        document.get("too_late", ()),
        document["title"],
        document.get("limited", ()),
    )


def receipt_of(message: Mapping[str, Any]) -> Receipt:
    return Receipt(
        message.get("source", 1),
        NOW_MS + message.get("received", 0),
        message["item"],
        message.get("via", "batch"),
        message.get("envelope", {}),
    )


@dataclass(frozen=True)
class Request:
    """What one acknowledged request holds, by the positions of its messages in the story."""

    positions: tuple[int, ...]
    source: int
    received_at_ms: int
    via: str
    body: bytes


def request_of(story: Story, positions: Sequence[int], *, ascii_only: bool = True) -> Request:
    first = receipt_of(story.messages[positions[0]])
    items = [story.messages[position]["item"] for position in positions]
    content = {"batch": {**first.envelope, "batch": items}, "archive": items}.get(first.via, items[0])
    body = json.dumps(content, ensure_ascii=ascii_only).encode()
    return Request(tuple(positions), first.source, first.received_at_ms, first.via, body)


def requests_in(story: Story, order: Sequence[int], chance: random.Random) -> Iterator[Request]:
    """Split an order into requests: what can share a request does, or not."""
    together: list[int] = []
    for position in order:
        if together and (chance.random() < 0.3 or not _can_share(story, together[0], position)):
            yield request_of(story, together, ascii_only=chance.random() < 0.5)
            together = []
        together.append(position)
    if together:
        yield request_of(story, together)


def _can_share(story: Story, one: int, other: int) -> bool:
    def frame(position: int) -> tuple[object, ...]:
        receipt = receipt_of(story.messages[position])
        return receipt.source, receipt.received_at_ms, receipt.via, receipt.envelope

    return frame(one) == frame(other) and frame(one)[2] in ("batch", "archive")


def disturbed_order(story: Story, chance: random.Random) -> list[int]:
    """The messages in another order, some of them more than once."""
    order = [position for position in range(len(story.messages)) for _ in range(1 + (chance.random() < 0.3))]
    chance.shuffle(order)
    return order


# -- making stories up

USERS = st.sampled_from(["u1", "u1", "u2", "u2", "u3", 42, "42", 42.0, "a1", " ü/😀 ", LONG])
ANONYMOUS = st.sampled_from(["a1", "a1", "a2", "a2", "u1", 7])
NOBODY = st.sampled_from([None, "", "  "])
KNOWN_ACCOUNTS = st.sampled_from([INITECH, INITECH_15, GLOBEX_15, f" {VANDELAY_15} ", account_id(VANDELAY_15)])
ACCOUNTS = KNOWN_ACCOUNTS | st.sampled_from([UNKNOWN, "acme.test", 555, INITECH.lower()])
NO_ACCOUNTS = st.sampled_from(["", " ", None, False, {"id": INITECH}])
EMAILS = st.sampled_from(["x@a.test", " X@A.test", "y@b.test", "y@b.test", "z@c.test", "w@d.test", "bad", "", None, 5])
EVENTS = st.sampled_from(
    ["Seen", "Seen", "Order Completed", "order_completed", "OrderCompleted", "Order  Completed", "発注 😀", LONG]
)
MINUTES = st.sampled_from([-1500, -481, -480, -3, -2, -2, -1, -1, 0, 5])
"""From 08:00 of a day: the day before, the last minute of it, midnight, and some close to each other."""
ANYTHING = st.sampled_from(["Mo", "Jo", " ", LONG, None, 12, 1.5, True, ["a", None], {"k": "ü"}])
AMOUNTS = st.sampled_from([1200, "1200", " 12.5 ", "1,200", "1_000", "many", None, True, 0, "inf", [3], 1e21])
DATES = st.sampled_from(["2027-03-31", "2027-03-31T23:30:00-02:00", 1_800_000_000, "1801011200000", "soon", None, True])
INTEGRATIONS = st.sampled_from(
    [
        *({}, None, [], "x", {"All": False}, {"all": False}, {"ALL": False}, {"All": False, "Gainsight": True}),
        *({"All": False, "Gainsight": {}}, {"Gainsight": False}, {"Gainsight": None}, {"Gainsight": 0}),
        *({"Gainsight": "false"}, {"All": "false"}, {"All": 0}, {"All": False, "gainsight": True}),
        *({"gainsight": False}, {"Mixpanel": False}, {"All": True, "Gainsight": False}),
    ]
)
CONSENTS = st.sampled_from(
    [
        *({}, None, "granted", [], 5, {"version": 2}),
        *({"categoryPreferences": told} for told in ({}, None, "all", [True], {"Analytics": True})),
        *({"categoryPreferences": {"analytics": told}} for told in (True, True, False, None, "true", 1)),
        *({"categoryPreferences": {"analytics": told, "ads é": True}} for told in (True, True, False)),
        {"categoryPreferences": {"ads é": True}},
    ]
)
INVALID = st.sampled_from(
    [5, None, "track", [], {"type": "delete", "userId": "u1"}, {"userId": "u1", "event": "Seen"}]
) | (
    st.sampled_from(
        [
            {"type": "Track", "event": "Seen"},
            {"type": ["track"], "event": "Seen"},
            {"type": "track", "userId": " ", "anonymousId": "", "event": "Seen"},
            {"type": "track", "userId": True, "event": "Seen"},
            {"type": "track", "userId": None, "anonymousId": ["a1"], "event": "Seen"},
            {"type": "track"},
            {"type": "track", "event": ""},
            {"type": "track", "event": 5},
            {"type": "track", "event": {"name": "Seen"}},
            {"type": "track", "event": "Seen", "properties": "x"},
            {"type": "group"},
            {"type": "group", "groupId": " "},
            {"type": "group", "groupId": "acme.test", "traits": 5},
            {"type": "alias"},
            {"type": "alias", "userId": None, "anonymousId": "a1", "previousId": "u1"},
            {"type": "page", "name": 5},
            {"type": "screen", "category": ["x"]},
            {"type": "page", "properties": [1]},
            {"type": "identify", "traits": ["x"]},
        ]
    ).map(lambda item: {"userId": "u1", **item})
)
"""Items with one thing wrong."""
SETTINGS = {
    "usageGrain": st.sampled_from(["account", "user"]),
    "parkedThen": st.sampled_from(["deliver", "drop"]),
    "createCompanies": st.booleans(),
    "accountIdNames": st.sampled_from([["account_id", "accountId"], ["companyId"], ["companyId", "accountId"]]),
    "companyFields": st.sampled_from(
        [
            {"sector": "Industry"},
            {"industry": "Summary", "renews": "RenewalDate", "plan": "Stage"},
            {"plan.tier": "TickerSymbol", "size": "Employees", "nowhere": "Missing__gc"},
        ]
    ),
    "personFields": st.sampled_from([{"opt_out": "EmailOptOut", "bio": "Comments"}, {"firstName": "Location"}]),
    "eventFields": st.sampled_from([{"rows": "Rows__gc", "plan.tier": "Plan__gc"}, {"at": "At__gc"}]),
    "events": st.sampled_from([["Order Completed"], [{"key": "order-completed", "value": {}}, "seen"], ["発注 😀"]]),
    "consentCategories": st.sampled_from([["analytics"], ["analytics"], ["analytics", "ads é"]]),
    "eventObject": st.none(),
    "usageObject": st.none(),
    "peoplePath": st.just("/v1.0/api/people"),
}
OFTEN = {"events": 3, "eventObject": 1, "usageObject": 1}
"""In how many of ten stories a setting is set, when not in two."""
PERSON_TRAITS = ("firstName", "first_name", "lastName", "name", "name", "title", "title", "linkedin_url", "bio")


@st.composite
def told_times(draw: st.DrawFn, received_at_ms: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(of the message, of its envelope): when it happened, in the ways SDKs say it."""
    at_ms = NOW_MS + draw(MINUTES) * 60_000
    form = draw(st.integers(0, 14))
    if form == 14:
        return {"timestamp": "2026"}, {}
    if form == 12:
        return {"timestamp": "1801011180000"}, {}
    if form <= 4:
        return {"timestamp": iso(at_ms)}, {}
    if form == 5:
        return {"timestamp": at_ms, "originalTimestamp": "1999-01-01"}, {}
    if form == 6:
        return {"timestamp": iso(at_ms + 7_200_000).replace("Z", "678+02:00")}, {}
    if form == 7:
        return {"timestamp": draw(st.sampled_from([None, "yesterday", True])), "originalTimestamp": iso(at_ms)}, {}
    if form == 8:
        return {"timestamp": draw(st.sampled_from([None, "yesterday", [1]]))}, {}
    skew_ms = draw(st.sampled_from([3_600_000, -86_400_000, 1]))
    sent_at = iso(received_at_ms + skew_ms)
    told = {"timestamp": iso(at_ms + skew_ms)}
    if form == 9:
        return told, {"sentAt": sent_at}
    if form == 13:
        return told | {"sentAt": "soon"}, {"sentAt": sent_at}
    return told | {"sentAt": sent_at}, {"sentAt": "2001-01-01T00:00:00Z"} if form == 10 else {}


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """A valid message without id and times."""
    kind = draw(
        st.sampled_from(["identify", "identify", "identify", "track", "track", "track", "group", "alias", "page"])
    )
    item: dict[str, Any] = {"type": kind}
    who = draw(st.integers(0, 5))
    if who <= 3 or kind == "alias":
        item["userId"] = draw(USERS)
    if who >= 3:
        item["anonymousId"] = draw(ANONYMOUS)
    if who == 5 and kind != "alias":
        item["userId"] = draw(NOBODY)
    rarely = st.integers(0, 9).map(lambda n: n == 9)
    if kind == "alias":
        item["previousId"] = draw(USERS | ANONYMOUS)
        if draw(rarely):
            item["properties"] = "of no meaning here"
    elif kind == "identify":
        item["traits"] = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "accountId": ACCOUNTS | NO_ACCOUNTS,
                    "account_id": ACCOUNTS,
                    "companyId": ACCOUNTS,
                    "email": EMAILS,
                    "opt_out": st.sampled_from([True, "false", "yes", None, 1]),
                    **dict.fromkeys(PERSON_TRAITS, ANYTHING),
                },
            )
        )
    elif kind == "group":
        item["groupId"] = draw(ACCOUNTS)
        item["traits"] = draw(
            st.none()
            | st.fixed_dictionaries(
                {},
                optional={
                    "name": ANYTHING,
                    "industry": ANYTHING,
                    "sector": ANYTHING,
                    "employees": AMOUNTS,
                    "size": AMOUNTS,
                    "renews": DATES,
                    "plan": st.sampled_from(["launched", "Nowhere", None, {"tier": "gold"}, {"tier": LONG}]),
                    "accountId": ACCOUNTS,
                },
            )
        )
    elif kind == "track":
        item["event"] = draw(EVENTS)
        item["properties"] = draw(
            st.none()
            | st.fixed_dictionaries(
                {},
                optional={
                    "accountId": ACCOUNTS | NO_ACCOUNTS,
                    "account_id": ACCOUNTS,
                    "companyId": ACCOUNTS,
                    "rows": AMOUNTS,
                    "at": DATES,
                    "plan": st.sampled_from([{"tier": "gold and more"}, {"tier": None}, "gold"]),
                    "text": ANYTHING,
                },
            )
        )
    if kind == "track" and draw(rarely):
        item["groupId"] = draw(st.sampled_from([False, {"of": "no meaning here"}]))
    if kind != "group" and draw(rarely):
        item["context"] = {"groupId": draw(ACCOUNTS | NO_ACCOUNTS)}
    if draw(st.integers(0, 3)) == 3:
        item.setdefault("context", {})["consent"] = draw(CONSENTS)
    if draw(rarely):
        item["integrations"] = draw(INTEGRATIONS)
    return item


@st.composite
def told_messages(draw: st.DrawFn) -> dict[str, Any]:
    """A message of a story; what depends on its place there is left to `_numbered`."""
    received = draw(st.sampled_from([-1, -1, -1, -60_000, -3_600_000]))
    message: dict[str, Any] = {"source": draw(st.sampled_from([1, 1, 1, 2, 3])), "received": received}
    special = draw(st.integers(0, 19))
    if special == 19:
        return message | {"item": draw(INVALID)}
    item = draw(items())
    times, envelope = draw(told_times(NOW_MS + received))
    item |= times
    if special == 18:
        item["messageId"] = None
    else:
        item["messageId"] = draw(st.sampled_from(["m", "M", "é", chr(0xFFEE), chr(0x1D54F)])) + draw(
            st.sampled_from("012")
        )
    if special == 17:
        message["repeats"] = draw(st.integers(1, 5))
    elif special == 16:
        envelope |= {"context": {"groupId": draw(ACCOUNTS), "consent": draw(CONSENTS)}}
    elif special == 15:
        envelope |= {"integrations": draw(INTEGRATIONS)}
    elif special == 14:
        message["via"], item["type"], envelope = item["type"], draw(st.sampled_from([item["type"], "page", None])), {}
    elif special == 13:
        message["via"], envelope = "archive", {}
        item["sentAt"] = iso(NOW_MS + received + 3_600_000)  # of no meaning here
    return message | {"item": item} | ({"envelope": envelope} if envelope else {})


THEMES = {
    "links": ["alias"] * 5 + ["track"] * 3 + ["identify"] * 2,
    "facts": ["alias"] + ["identify"] * 4 + ["track"] * 4 + ["group", "page"],
    "people": ["identify"] * 6 + ["group"] * 2 + ["track"],
}


@st.composite
def plain_messages(draw: st.DrawFn, theme: str) -> dict[str, Any]:
    """A message of a story about one theme, with little else in it."""
    kind = draw(st.sampled_from(THEMES[theme]))
    user, anonymous = st.sampled_from(["u1", "u1", "u2", "u2", "u3"]), st.sampled_from(["a1", "a2", "u1"])
    item: dict[str, Any] = {"type": kind, "timestamp": iso(NOW_MS + draw(st.integers(-3, 0)) * 60_000)}
    item["messageId"] = draw(st.sampled_from("amz"))
    who = 0 if kind == "alias" else draw(st.integers(0, 3))
    if who <= 2:
        item["userId"] = draw(user)
    if who >= 2:
        item["anonymousId"] = draw(anonymous)
    account = st.sampled_from([INITECH, INITECH_15, GLOBEX_15, UNKNOWN])
    if kind == "alias":
        item["previousId"] = draw(st.one_of(user, user, anonymous))  # circles too
    elif kind == "group":
        item["groupId"] = draw(account)
    elif kind == "identify":
        emails = ["x@a.test", "y@b.test"] + (["z@c.test", "w@d.test"] if theme == "people" else [])
        told = {"accountId": account, "email": st.sampled_from(emails), "title": st.sampled_from("AB")}
        item["traits"] = draw(st.fixed_dictionaries({}, optional=told))
    elif kind == "track":
        item["event"] = "Seen"
        item["properties"] = draw(st.fixed_dictionaries({}, optional={"accountId": account}))
    if draw(st.integers(0, 9)) == 9:
        item["integrations"] = {"All": False}
    return {"source": draw(st.sampled_from([1, 1, 1, 3])), "received": -1, "item": item}


def _numbered(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every message gets an id of its own, but for those that are to repeat one. Without an id nothing can be said of
    ties: the date of such a message is its own."""
    for number, message in enumerate(told):
        item, back = message["item"], message.pop("repeats", 0)
        if not isinstance(item, dict) or "messageId" not in item:
            continue
        if item["messageId"] is None:
            item["timestamp"], item["sentAt"] = iso(NOW_MS - 90_000 + 2 + number), None
            message.pop("envelope", None)
            continue
        item["messageId"] += f".{number}" if number != 3 else ""
        earlier = told[number - back]["item"] if back <= number else None
        if isinstance(earlier, dict) and earlier.get("messageId") is not None:
            item["messageId"] = earlier["messageId"]
        elif number == 4:
            item["messageId"] = 4
    return list(told)


@st.composite
def stories(draw: st.DrawFn, *, longest: int) -> Story:
    """A few users, accounts, addresses and minutes, so that whatever can meet does."""
    settings = {
        name: draw(values) for name, values in SETTINGS.items() if draw(st.integers(1, 10)) > 10 - OFTEN.get(name, 2)
    }
    about = draw(st.sampled_from([*(plain_messages(theme) for theme in THEMES), *[told_messages()] * 2]))
    shortest = draw(st.sampled_from([1, longest // 3, longest * 2 // 3]))  # else lists are short on average
    told = _numbered(draw(st.lists(about, min_size=shortest, max_size=longest)))
    appear = draw(st.sampled_from([0, 0, 1, 2]))
    if settings.get("createCompanies"):
        appear = 0
    return Story(
        told,
        settings,
        LATE if appear == 1 else (),
        LATE if appear == 2 else (),
        limited=draw(st.sampled_from([(), (), (1,), (2, 3)])),
    )
