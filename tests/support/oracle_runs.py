"""Plays a story to the product and compares, each time it has come to rest, with what the oracle says."""

import asyncio
import json
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gainsight_destination.destinations.gainsight.schema import Schema
from gainsight_destination.destinations.gainsight.values import Field as ProductField
from gainsight_destination.destinations.gainsight.values import option_labels
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.observe.status import status
from tests.oracle.accounts import account_id
from tests.oracle.books import books_of_destination, books_of_source
from tests.oracle.expected import Held, Oracle, Tenant
from tests.oracle.fields import Field
from tests.oracle.messages import Receipt, day, iso
from tests.support.delivery import EVENTS, USAGE, Delivery, delivery_at_sandbox
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.stories import Request, Story, disturbed_order, request_of, requests_in

CONNECTED = (1, 2)
SOURCES = {1: "website", 2: "server", 3: "other"}
TEXT = Field("text", 255)
FIELDS: Mapping[str, Mapping[str, Field]] = {
    "company": {
        "Name": TEXT,
        "Industry": TEXT,
        "Employees": Field("number"),
        "Summary": Field("text", 32_000),
        "TickerSymbol": Field("text", 20),
        "RenewalDate": Field("date"),
        "Stage": Field(
            "picklist", labels=("New Customer", "Kicked Off", "Launched", "Adopting", "Will Churn", "Churn")
        ),
    },
    "person": {
        **dict.fromkeys(("Name", "FirstName", "LastName", "MiddleName", "Location", "Timezone"), TEXT),
        "LinkedinUrl": Field("address", 255),
        "Comments": Field("text", 4_000),
        "EmailOptOut": Field("boolean"),
    },
    "link": {"Title": TEXT},
    "event": {
        **dict.fromkeys(("Message_Id__gc", "Event_Name__gc", "User_Id__gc", "Account_Id__gc"), TEXT),
        "Properties__gc": Field("text", 60),
        "Rows__gc": Field("number"),
        "Plan__gc": Field("text", 8),
        "At__gc": Field("datetime"),
    },
    "usage": dict.fromkeys(("Event_Name__gc", "User_Id__gc", "Account_Id__gc"), TEXT),
}
"""What both sides are told about the tenant's fields."""
ADDED_TO_THE_SANDBOX = {
    "Properties__gc": {"data_type": "STRING", "length": 60},
    "Rows__gc": {"data_type": "NUMBER"},
    "Plan__gc": {"data_type": "STRING", "length": 8},
    "At__gc": {"data_type": "DATETIME"},
}
PRODUCT_TYPES = {"text": "STRING", "address": "URL", "picklist": "PICKLIST"}
STRUCTURE = {
    "company": ("SfdcAccountId",),
    "person": ("Email",),
    "event": ("Event_Time__gc", "Company_Id__gc", "Person_Id__gc"),
    "usage": (
        *("Usage_Key__gc", "Usage_Date__gc", "Event_Count__gc", "First_At__gc", "Last_At__gc"),
        *("Company_Id__gc", "Person_Id__gc"),
    ),
}
OF_TYPE = {"Usage_Date__gc": "DATE", "Event_Count__gc": "NUMBER"}
OF_TYPE |= dict.fromkeys(("Event_Time__gc", "First_At__gc", "Last_At__gc"), "DATETIME")
PRODUCT_SCHEMAS = {
    name: Schema(
        name,
        {field: ProductField(field, OF_TYPE.get(field, "STRING")) for field in structure}
        | {
            field: ProductField(
                field,
                PRODUCT_TYPES.get(told.type, told.type.upper()),
                told.length,
                labels=option_labels([(label, ()) for label in told.labels]),
            )
            for field, told in FIELDS[name].items()
        },
    )
    for name, structure in STRUCTURE.items()
}
OF_GAINSIGHT = ("Gsid", "CreatedDate", "ModifiedDate", "CreatedBy", "ModifiedBy")
FIGURES = ("received", "discarded", "duplicates", "filtered", "parked", "pending", "delivered", "dead")
KINDS = {"batch": EntryKind.BATCH, "archive": EntryKind.ARCHIVE}
KINDS |= {name.lower(): kind for name, kind in EntryKind.__members__.items() if kind < EntryKind.BATCH}

Rows = Mapping[Any, Mapping[str, Any]]


def entry_of(request: Request) -> Entry:
    return Entry(request.source, KINDS[request.via], request.received_at_ms, len(request.positions), request.body)


def fast_directory() -> "tempfile.TemporaryDirectory[str]":
    """In memory where the machine offers that: thousands of files are synced here, and none is to last."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


@cache
def fresh_files() -> Mapping[str, bytes]:
    """The files of a data directory with nothing in it: made once, since making them takes as long as a story."""
    with fast_directory() as directory:
        Pipeline(Path(directory)).close()
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


# -- comparing


def differences(
    held: Mapping[str, Rows], expected: Mapping[str, Rows], earlier: Sequence[Mapping[str, Rows]] = ()
) -> list[str]:
    """In words, how what Gainsight holds differs from what it should hold.

    Nothing is ever deleted in Gainsight, so what was right when it was delivered, and of which nobody says anything any
    more, may stay: a field, an event row, a Person, a link. A usage row may only stay if it counts nothing.
    """
    found = []
    for kind, rows in expected.items():
        for name in rows.keys() | held[kind].keys():
            row, wanted = held[kind].get(name), rows.get(name)
            past = [before[kind][name] for before in earlier if name in before[kind]]
            if row is None:
                found.append(f"{kind} {name}: missing; expected {wanted}")
            elif wanted is None and not past:
                found.append(f"{kind} {name}: not expected: {row}")
            else:
                found += _wrong_fields(f"{kind} {name}", row, wanted or {}, past)
    return sorted(found)


def _wrong_fields(
    where: str, row: Mapping[str, Any], wanted: Mapping[str, Any], past: Sequence[Mapping[str, Any]]
) -> list[str]:
    found = []
    for field in row.keys() | wanted.keys():
        value = row.get(field)
        if field in wanted:
            if value != wanted[field]:
                found.append(f"{where}: {field} is {value!r}; expected {wanted[field]!r}")
        elif value is not None and value not in [before.get(field) for before in past]:
            found.append(f"{where}: {field} is {value!r}; nobody said so")
    return found


def as_rows(held: Held) -> dict[str, Rows]:
    """The oracle's answer under the names that both sides know."""
    return {
        "companies": held.companies,
        "people": held.people,
        "links": held.links,
        "events": by_message(held.events.values()),
        "left_behind": {},
        "usage": by_grain(held.usage.values()),
        "emptied": {},
    }


def by_message(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Event rows by message id. What ids the product makes up is its own affair: such rows go by their time."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        name = row["Message_Id__gc"]
        if name.startswith(("generated-", "(without an id")):
            row = {**row, "Message_Id__gc": "made up"}
            name = row["Event_Time__gc"]
        while name in found:
            name += " again"
        found[name] = row
    return found


def by_grain(rows: Iterable[Mapping[str, Any]]) -> dict[Any, Mapping[str, Any]]:
    """Usage rows by what can be seen of their grain. A userId and an equal anonymousId look alike and are two."""
    found: dict[Any, Any] = {}
    for row in rows:
        grain = tuple(row.get(f"{name}__gc") for name in ("Account_Id", "User_Id", "Event_Name", "Usage_Date"))
        said = {name: value for name, value in row.items() if value is not None}
        found.setdefault(grain, []).append(json.dumps(said, sort_keys=True))
    return {grain: {"rows": sorted(alike)} for grain, alike in found.items()}


def wrong_books(shown: Mapping[str, Any], oracle: Oracle) -> list[str]:
    """In words, how the status document differs from the oracle's books."""
    destination = shown["destinations"]["gainsight"]
    pairs = [("destination", destination, books_of_destination(oracle))]
    for source, name in SOURCES.items():
        pairs.append((f"source {name}", shown["sources"][name], books_of_source(oracle, source)))
        if source in CONNECTED:
            of_source = books_of_destination(oracle, source)
            pairs.append((f"destination, source {name}", destination["sources"][name], of_source))
    return [
        f"books of {where}: {figure} is {books[figure]}; expected {value}"
        for where, books, expected in pairs
        for figure, value in expected.items()
        if books[figure] != value
    ]


# -- without Gainsight: what is to be delivered


def run_without_sandbox(story: Story, order: Sequence[int], chance: random.Random | None) -> list[str]:
    """Resolve the messages in this order and compare the drafts, when all came and when all waiting is over.

    With a `chance` the way is disturbed: resolved in between, settled in between, begun anew in between, with another
    trust for a while. (Not if there are aliases: they go by the trust of the time when they are read.)
    """
    trusts = [] if "alias" in repr(story) else [(), story.limited, CONNECTED]

    def disturb(pipeline: Pipeline) -> None:
        if chance is not None and chance.random() < 0.4:
            pipeline.resolve(max_messages=chance.choice([1, 2, 1000]))
            if chance.random() < 0.3:
                pipeline.settle()
            if chance.random() < 0.3:
                pipeline.restart()
            if trusts and chance.random() < 0.3:
                pipeline.trust(limited=chance.choice(trusts))

    return _run_without_sandbox(story, requests_in(story, order, chance or random.Random(0)), disturb)


def run_one_by_one(story: Story, *, settled: bool) -> list[str]:
    """Resolve each message by itself, perhaps deliver what came of it, and go on to the next."""

    def rest(pipeline: Pipeline) -> None:
        pipeline.resolve()
        if settled:
            pipeline.settle()

    return _run_without_sandbox(story, [request_of(story, [n]) for n in range(len(story.messages))], rest)


def _run_without_sandbox(
    story: Story, requests: Iterable[Request], after_each: Callable[[Pipeline], None]
) -> list[str]:
    order: list[int] = []
    with fast_directory() as directory:
        for name, content in fresh_files().items():
            (Path(directory) / name).write_bytes(content)
        pipeline = Pipeline(Path(directory), limited=story.limited, **story.settings)
        pipeline.destination._schemas = PRODUCT_SCHEMAS
        try:
            for request in requests:
                pipeline.log.append([entry_of(request)])
                order += request.positions
                after_each(pipeline)
            pipeline.resolve()
            if pipeline.limited != set(story.limited):
                pipeline.trust(limited=story.limited)
            found = _compare_drafts(pipeline, story, order, waiting_is_over=False)
            pipeline.now_ms += 31 * DAY_MS
            pipeline.expire()
            return found or _compare_drafts(pipeline, story, order, waiting_is_over=True)
        finally:
            pipeline.close()


def _compare_drafts(pipeline: Pipeline, story: Story, order: Sequence[int], *, waiting_is_over: bool) -> list[str]:
    receipts = story.receipts(order)
    everybody = Tenant(FIELDS, [account_id(str(account)) for account in _accounts_in(receipts)])
    oracle = Oracle(
        receipts,
        story.settings,
        everybody,
        connected=CONNECTED,
        limited=story.limited,
        waiting_is_over=waiting_is_over,
    )
    expected = oracle.held()
    for row in (*expected.events.values(), *expected.usage.values()):
        del row["Company_Id__gc"]
    found = differences(_drafts(pipeline), as_rows(expected))
    pipeline.settle()
    document = status(pipeline.connection, pipeline.log, pipeline.now_ms)
    return found + wrong_books(document, oracle)


def _accounts_in(receipts: Sequence[Receipt]) -> list[Any]:
    return [receipt.item.get("groupId") for receipt in receipts if isinstance(receipt.item, dict)]


def _drafts(pipeline: Pipeline) -> dict[str, Rows]:
    drafts: dict[str, dict[str, Any]] = {"company": {}, "person": {}, "event": {}, "usage": {}}
    for (object_name, name), fields in pipeline.held().items():
        drafts[object_name][name] = fields
    rows = [*drafts["event"].values(), *drafts["usage"].values()]
    for row in rows:
        row["Person_Id__gc"] = row.pop("personEmail", None)
        row.pop("Usage_Key__gc", None)
    links = {}
    for email, person in drafts["person"].items():
        for link in person.pop("companies"):
            links[email, link.pop("account")] = link
    return {
        "companies": drafts["company"],
        "people": drafts["person"],
        "links": links,
        "events": by_message(drafts["event"].values()),
        "left_behind": {},
        "usage": by_grain(drafts["usage"].values()),
        "emptied": {},
    }


# -- at the sandbox


FAULTS = (
    *("429", "429-apig", "500", "502", "503", "504", "result-false", "truncated-json", "not-json"),
    *("disconnect-before", "redirect", "unauthorized", "forbidden-ip", *["disconnect-after"] * 4),
)


class SandboxRun:
    """One story, delivered; compared with the oracle whenever everything has come to rest."""

    def __init__(self, story: Story, delivery: Delivery, chance: random.Random | None) -> None:
        self.story = story
        self.delivery = delivery
        self.chance = chance
        self.order: list[int] = []
        self.companies: list[str] = []
        self.too_late: list[str] = []
        self.waiting_is_over = False
        self.earlier: list[dict[str, Rows]] = []
        self.baseline: dict[str, Mapping[str, Any]] = {}
        self.stages: dict[str, str] = {}

    async def run(self, order: Sequence[int]) -> list[str]:
        await self._set_up()
        await self._send(order)
        await self.delivery.drain(minutes=600)
        found = await self._compare()
        if not found and self.story.in_time:
            await self._let_appear(self.story.in_time, self.companies)
            found = await self._compare()
        if not found:
            await self._wait_too_long()
            found = await self._compare()
        if not found and self.story.too_late:
            await self._let_appear(self.story.too_late, self.too_late)
            found = await self._compare()
        return found + await self._overspent()

    async def _set_up(self) -> None:
        sandbox = self.delivery.sandbox
        for name, field in ADDED_TO_THE_SANDBOX.items():
            await sandbox.control("PUT", f"schema/{EVENTS}/fields/{name}", field)
        async with sandbox.client() as client:
            described = (await client.get("/v1/meta/services/objects/Company/describe")).json()["data"]
        (fields,) = [one["fields"] for one in (described if isinstance(described, list) else [described])]
        (stage,) = [field for field in fields if field["fieldName"] == "Stage"]
        self.stages = {option["value"]: option["label"] for option in stage["options"]}
        self.baseline = await self._companies()
        self.companies = list(self.baseline)
        if self.chance is not None and self.chance.random() < 0.5:
            rules = [
                {
                    "fault": self.chance.choice(FAULTS),
                    "match": {"probability": 0.3, "seed": self.chance.randrange(1000)},
                    "times": self.chance.randint(1, 3),
                }
                for _ in range(self.chance.randint(1, 3))
            ]
            await sandbox.control("PUT", "faults", {"rules": rules})

    async def _send(self, order: Sequence[int]) -> None:
        delivery, chance = self.delivery, self.chance
        for request in requests_in(self.story, order, chance or random.Random(0)):
            delivery.pipeline.log.append([entry_of(request)])
            self.order += request.positions
            if chance is None:
                continue
            if chance.random() < 0.4:
                await delivery.resolve()
                if chance.random() < 0.6:
                    self.earlier.append(as_rows(self._oracle().delivered()))
                    await delivery.drain(minutes=chance.choice([0.05, 0.05, 1, 600]))
            if chance.random() < 0.2:
                await delivery.restart()

    async def _let_appear(self, accounts: Sequence[str], among: list[str]) -> None:
        """A later Salesforce sync brings Companies; they are looked for every 30 minutes."""
        self.earlier.append(as_rows(self._oracle().delivered()))
        companies = [{"Name": f"Late {account}", "SfdcAccountId": account} for account in accounts]
        await self.delivery.sandbox.control("POST", "companies", {"companies": companies})
        among += accounts
        self.baseline |= {account: {"Name": f"Late {account}"} for account in accounts}
        for _ in range(2):
            self.delivery.clock.advance(32 * 60)
            await self.delivery.step_until(minutes=0.1)
            await self.delivery.drain(minutes=600)

    async def _wait_too_long(self) -> None:
        self.earlier.append(as_rows(self._oracle().delivered()))
        self.delivery.clock.advance(31 * DAY_MS / 1000)
        await self.delivery.expire()
        await self.delivery.drain(minutes=600)
        self.waiting_is_over = True

    def _oracle(self) -> Oracle:
        return Oracle(
            self.story.receipts(self.order),
            self.story.settings,
            Tenant(FIELDS, self.companies, self.too_late),
            connected=CONNECTED,
            limited=self.story.limited,
            waiting_is_over=self.waiting_is_over,
        )

    async def _compare(self) -> list[str]:
        oracle, held = self._oracle(), await self._held()
        expected = as_rows(oracle.delivered(also_there=held["people"].keys()))
        past = self.earlier if self.chance is not None or self.story.in_time else []
        expected["companies"] = {
            account: {**self.baseline.get(account, {}), **expected["companies"].get(account, {})}
            for account in {*self.baseline, *expected["companies"]}
        }
        left_behind = {name: held["events"][name] for name in held["events"].keys() - expected["events"].keys()}
        held["events"] = {name: row for name, row in held["events"].items() if name not in left_behind}
        for name in left_behind:
            if not any(name in before["events"] for before in past):
                held["left_behind"] = {**held["left_behind"], name: left_behind[name]}
        for grain in held["emptied"].keys() & {grain for before in past for grain in before["usage"]}:
            held["emptied"] = {name: row for name, row in held["emptied"].items() if name != grain}
        return differences(held, expected, past) + await self._wrong_books(oracle)

    async def _wrong_books(self, oracle: Oracle) -> list[str]:
        document = await self.delivery.database.read(
            lambda connection: status(connection, self.delivery.pipeline.log, self.delivery.clock.now_ms())
        )
        return wrong_books(document, oracle)

    async def _overspent(self) -> list[str]:
        quota = await self.delivery.sandbox.control("GET", "quota")
        return [f"a minute with {one['accepted']} calls" for one in quota["minutes"] if one["accepted"] > 60]

    # -- what the sandbox holds, under the oracle's names

    async def _rows(self, object_name: str) -> list[dict[str, Any]]:
        return await self.delivery.rows(object_name)

    async def _companies(self) -> dict[str, Mapping[str, Any]]:
        found = {}
        for row in await self._rows("company"):
            values = {name: value for name, value in row.items() if name not in (*OF_GAINSIGHT, "SfdcAccountId")}
            if values.get("RenewalDate") is not None:
                values["RenewalDate"] = day(values["RenewalDate"])
            if values.get("Stage") is not None:
                values["Stage"] = self.stages[values["Stage"]]
            name = account_id(row["SfdcAccountId"])
            assert name not in found, f"two Companies of {name}"
            found[name] = values
        return found

    async def _held(self) -> dict[str, Rows]:
        accounts = {row["Gsid"]: account_id(row["SfdcAccountId"]) for row in await self._rows("company")}
        people = await self._rows("person")
        emails = {row["Gsid"]: row["Email"] for row in people}
        assert len(set(emails.values())) == len(emails)
        links = {
            (emails[row["Person_ID"]], accounts[row["Company_ID"]]): {"Title": row.get("Title")}
            for row in await self._rows("company_person")
        }
        usage = [self._readable(row, accounts, emails) for row in await self._rows(USAGE)]
        keys = [row.pop("Usage_Key__gc") for row in usage]
        assert len(set(keys)) == len(keys), "two usage rows have one key"
        return {
            "companies": await self._companies(),
            "people": {
                row["Email"]: {name: value for name, value in row.items() if name not in OF_GAINSIGHT} for row in people
            },
            "links": links,
            "events": by_message([self._readable(row, accounts, emails) for row in await self._rows(EVENTS)]),
            "left_behind": {},
            "usage": by_grain(row for row in usage if row["Event_Count__gc"]),
            "emptied": by_grain(row for row in usage if not row["Event_Count__gc"]),
        }

    def _readable(
        self, row: Mapping[str, Any], accounts: Mapping[str, str], emails: Mapping[str, str]
    ) -> dict[str, Any]:
        readable = {name: value for name, value in row.items() if name not in OF_GAINSIGHT}
        readable["Company_Id__gc"] = accounts.get(row.get("Company_Id__gc") or "")
        readable["Person_Id__gc"] = emails.get(row.get("Person_Id__gc") or "")
        for name in ("Event_Time__gc", "At__gc", "First_At__gc", "Last_At__gc"):
            if readable.get(name) is not None:
                readable[name] = iso(readable[name])
        if "Usage_Date__gc" in readable:
            readable["Usage_Date__gc"] = day(readable["Usage_Date__gc"])
        return readable


def run_at_sandbox(story: Story, seed: int | None) -> list[str]:
    """Deliver a story to a fresh sandbox, in virtual time; without a seed in its order and undisturbed."""
    return _play(story, seed)[0]


def calls_at_sandbox(story: Story, seed: int | None) -> list[tuple[str, str, str | None]]:
    """Method, path and body of every call that such a delivery makes."""
    return _play(story, seed)[1]


def _play(story: Story, seed: int | None) -> tuple[list[str], list[tuple[str, str, str | None]]]:
    async def run() -> tuple[list[str], list[tuple[str, str, str | None]]]:
        chance = None if seed is None else random.Random(seed)
        order = list(range(len(story.messages))) if chance is None else disturbed_order(story, chance)
        with fast_directory() as directory:
            async with delivery_at_sandbox(Path(directory), limited=story.limited, **story.settings) as delivery:
                found = await SandboxRun(story, delivery, chance).run(order)
                calls = await delivery.sandbox.calls()
        return found, [(call["method"], call["path"], call["request_body"]) for call in calls]

    return asyncio.run(run())
