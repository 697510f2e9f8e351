"""Sources of limited trust: what anybody can send with the write key of a web page moves no user known better."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.delivery import delivery_at_sandbox
from tests.support.pipeline import DAY_MS, Pipeline, at, group, identify, track

from gainsight_destination.cli.trace import in_words
from gainsight_destination.observe.trace import trace
from gainsight_destination.records import upkeep
from gainsight_destination.store.database import transaction

A, B = "001A0000006Vm9rIAC", "0015000000abcDEAAY"
WEBSITE, SERVER = 1, 2
MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def guarded(make_pipeline: MakePipeline) -> Pipeline:
    """The website has limited trust, the server has full trust."""
    return make_pipeline(limited=[WEBSITE])


def account_of(pipeline: Pipeline, message_id: str) -> Any:
    return pipeline.held()["event", message_id]["Account_Id__gc"]


def notices(pipeline: Pipeline) -> dict[str, int]:
    return dict(pipeline.query("SELECT subject, times FROM notices WHERE kind = 'untrusted_account_ignored'"))


def told(pipeline: Pipeline, message_id: str) -> str:
    story = trace(pipeline.connection, pipeline.log, [pipeline.connected], message_id)
    assert story is not None
    return "\n".join(in_words(story))


@pytest.mark.parametrize("named", [{"properties": {"accountId": B}}, {"context": {"groupId": B}}])
def test_an_event_cannot_name_another_account(guarded: Pipeline, named: dict[str, Any]) -> None:
    """The account that a limited source names is ignored for a placed user, and the ignored one is counted."""
    guarded.send(group("u1", A), track("u1", messageId="s", **named), source=SERVER)
    guarded.send(track("u1", messageId="w", **named), source=WEBSITE)
    guarded.send(track("u1", messageId="same", properties={"accountId": A}), source=WEBSITE)
    guarded.resolve()
    assert [account_of(guarded, name) for name in ("s", "w", "same")] == [B, A, A]
    assert notices(guarded) == {B: 1}


def test_facts_of_limited_trust_are_not_in_force(guarded: Pipeline) -> None:
    """Neither group nor identify of a limited source moves a placed user, newer or older, nor links its Person."""
    guarded.send(identify("u1", {"accountId": A, "email": "mo@x.test"}, timestamp=at(-50)), source=SERVER)
    guarded.send(identify("u1", {"accountId": B, "firstName": "Mo"}, timestamp=at(-20)), source=WEBSITE)
    guarded.send(group("u1", B, timestamp=at(-90)), source=WEBSITE)
    guarded.send(track("u1", messageId="t1", timestamp=at(-80)), track("u1", messageId="t2", timestamp=at(-10)))
    guarded.resolve()
    assert [account_of(guarded, name) for name in ("t1", "t2")] == [A, A]
    person = guarded.held()["person", "mo@x.test"]
    assert (person["FirstName"], person["companies"]) == ("Mo", [{"account": A}])
    assert notices(guarded) == {B: 2}


def test_a_user_who_is_not_placed_is_as_before(guarded: Pipeline) -> None:
    """What a limited source says counts while no source of full trust has said an account of the user."""
    guarded.send(identify("u1", {"email": "mo@x.test"}), source=SERVER)
    guarded.send(group("u1", A, {"industry": "Tools"}), track("u1", messageId="t1"), source=WEBSITE)
    guarded.send(track("u1", messageId="t2", properties={"accountId": B}), source=WEBSITE)
    guarded.resolve()
    assert [account_of(guarded, name) for name in ("t1", "t2")] == [A, B]
    assert guarded.held()["company", A]["Industry"] == "Tools"
    assert guarded.books()["filtered"] == {}
    assert notices(guarded) == {}


def test_a_group_call_about_another_account_is_filtered(guarded: Pipeline) -> None:
    """Its traits do not reach the Company, nor its account the Person; one about the user's own account counts."""
    guarded.send(group("u1", A), identify("u1", {"email": "mo@x.test"}), source=SERVER)
    guarded.send(group("u1", B, {"industry": "Ours now"}, messageId="evil"), source=WEBSITE)
    guarded.send(group("u1", A, {"industry": "Tools"}), source=WEBSITE)
    guarded.resolve()
    assert guarded.books()["filtered"] == {"untrusted_account": 1}
    assert ("company", B) not in guarded.held()
    assert guarded.held()["company", A]["Industry"] == "Tools"
    assert guarded.held()["person", "mo@x.test"]["companies"] == [{"account": A}]
    assert notices(guarded) == {B: 1}
    text = told(guarded, "evil")
    assert "filtered: of a source with limited trust" in text
    assert "record company" not in text


def test_a_late_fact_of_full_trust_takes_back_what_was_said_before_it(guarded: Pipeline) -> None:
    """Within correctionDays events move, and a group call that was delivered is filtered: the Company loses its say."""
    guarded.send(group("u2", B, {"industry": "Tools"}, timestamp=at(-99)), source=SERVER)
    guarded.send(
        group("u1", B, {"industry": "Ours now"}, timestamp=at(-50)),
        track("u1", messageId="t1", timestamp=at(-40)),
        track("u1", messageId="t2", timestamp=at(-30), properties={"accountId": B}),
        source=WEBSITE,
    )
    guarded.resolve()
    guarded.settle()
    assert guarded.held()["company", B]["Industry"] == "Ours now"
    assert guarded.figures()["delivered"] == 4
    guarded.send(group("u1", A), source=SERVER)
    guarded.resolve()
    assert guarded.held()["company", B]["Industry"] == "Tools"
    assert [account_of(guarded, name) for name in ("t1", "t2")] == [A, A]
    assert guarded.query("SELECT state FROM records WHERE object = 'company' AND state = 'dirty'")
    guarded.settle()
    books = guarded.figures()
    assert (books["delivered"], books["filtered"]) == (4, {"untrusted_account": 1})
    assert notices(guarded) == {B: 2}


def test_what_is_older_than_the_correction_days_stays(guarded: Pipeline) -> None:
    """A late fact of full trust moves nothing that was received long before it; what comes from then on obeys it."""
    guarded.send(group("u1", B, {"industry": "Ours now"}), track("u1", messageId="t1"), source=WEBSITE)
    guarded.resolve()
    guarded.settle()
    guarded.now_ms += 8 * DAY_MS
    guarded.send(group("u1", A), source=SERVER)
    guarded.send(track("u1", messageId="t2"), source=WEBSITE)
    guarded.resolve()
    assert [account_of(guarded, name) for name in ("t1", "t2")] == [B, A]
    assert guarded.books()["filtered"] == {}


def test_a_filtered_group_call_is_released(guarded: Pipeline) -> None:
    """When a fact of full trust puts its account in force after all, it counts as usual."""
    guarded.send(group("u1", A, timestamp=at(-99)), source=SERVER)
    guarded.send(group("u1", B, {"industry": "Tools"}, timestamp=at(-10)), source=WEBSITE)
    guarded.resolve()
    assert guarded.books()["filtered"] == {"untrusted_account": 1}
    guarded.send(group("u1", B, timestamp=at(-20)), source=SERVER)
    guarded.resolve()
    assert guarded.held()["company", B]["Industry"] == "Tools"
    assert guarded.books()["filtered"] == {}


def test_any_identity_of_the_user_places_it(guarded: Pipeline) -> None:
    """A fact that a server said of an anonymousId counts for the user whom the graph gives it to."""
    guarded.send(group(None, A, anonymousId="a1", timestamp=at(-50)), source=SERVER)
    guarded.send(
        group("u1", B, timestamp=at(-20)),
        track("u1", anonymousId="a1", messageId="t1", timestamp=at(-60), properties={"accountId": B}),
        source=WEBSITE,
    )
    guarded.resolve()
    assert account_of(guarded, "t1") == A
    assert guarded.books()["filtered"] == {"untrusted_account": 1}


@pytest.mark.parametrize("ids", [{"userId": "mallory", "previousId": "u1"}, {"userId": "u1", "previousId": "mallory"}])
def test_an_alias_of_limited_trust_merges_no_known_user(guarded: Pipeline, ids: dict[str, str]) -> None:
    """Neither can a placed user become part of another, nor another part of it; an anonymousId can."""
    guarded.send(group("u1", A, timestamp=at(-50)), group("mallory", B, timestamp=at(-40)), source=SERVER)
    guarded.send({"type": "alias", **ids, "messageId": "alias", "timestamp": at(-45)}, source=WEBSITE)
    guarded.send({"type": "alias", "userId": "u1", "previousId": "a1"}, source=WEBSITE)
    guarded.send(track("u1", messageId="t1"), track(None, anonymousId="a1", messageId="t2"), source=WEBSITE)
    guarded.resolve()
    found = {name: guarded.held()["event", name] for name in ("t1", "t2")}
    assert {(row["User_Id__gc"], row["Account_Id__gc"]) for row in found.values()} == {("u1", A)}
    assert "website has limited trust: previousId is read as an anonymousId" in told(guarded, "alias")


def test_trace_tells_what_was_ignored_and_why(guarded: Pipeline) -> None:
    """Whether the message itself names the account or an earlier one did, with both sources and the evidence."""
    guarded.send(group("u1", A, messageId="g1", timestamp=at(-50)), source=SERVER)
    guarded.send(group("u1", B, messageId="g2", timestamp=at(-40)), source=WEBSITE)
    guarded.send(
        track("u1", messageId="t1", properties={"accountId": B}),
        track("u1", messageId="t2"),
        track("u1", messageId="t3", timestamp=at(-60)),
        source=WEBSITE,
    )
    guarded.resolve()
    why = "source website has limited trust, and the account fact of source server from message g1 is in force"
    assert f"ignored: {B}, said by this message: {why}" in told(guarded, "t1")
    assert f"ignored: {B}, said by this message: {why}" in told(guarded, "g2")
    assert f"ignored: {B}, said by message g2: {why}" in told(guarded, "t2")
    assert "ignored" not in told(guarded, "t3")


def test_what_is_taken_back_folds_nothing_away(guarded: Pipeline) -> None:
    """A statement that a late fact may still take back is no reason to forget an older one about the same."""
    guarded.send(*(group("u2", B, {"industry": f"I{n}"}, timestamp=at(n - 99)) for n in range(30)), source=SERVER)
    guarded.resolve()
    guarded.settle()
    guarded.now_ms += 31 * DAY_MS
    guarded.send(group("u1", B, {"industry": "Ours now"}), source=WEBSITE)
    guarded.resolve()
    guarded.settle()
    with transaction(guarded.connection) as connection:
        upkeep.settle(connection, 1, guarded.destination, guarded.now_ms)
        (record_id,) = upkeep.crowded_records(connection)
        assert upkeep.fold_statements(connection, record_id) == 29
    guarded.send(group("u1", A), source=SERVER)
    guarded.resolve()
    assert guarded.held()["company", B]["Industry"] == "I29"


# -- a changed setting


def attack(pipeline: Pipeline) -> None:
    """While every source has full trust: the website moves the server's user to another account."""
    pipeline.send(group("u1", A, {"industry": "Tools"}, timestamp=at(-50)), source=SERVER)
    pipeline.send(
        group("u1", B, {"industry": "Ours now"}, timestamp=at(-40)),
        *(track("u1", messageId=f"t{n}", timestamp=at(-n)) for n in range(5)),
        track("u1", messageId="named", properties={"accountId": B}),
        source=WEBSITE,
    )
    pipeline.resolve()
    pipeline.settle()


def test_a_changed_trust_is_in_force_for_what_came_before(pipeline: Pipeline) -> None:
    """What may still move is resolved by the trust that the workspace says now, there and back."""
    attack(pipeline)
    before, figures = pipeline.held(), pipeline.figures()
    assert account_of(pipeline, "t0") == account_of(pipeline, "named") == B
    pipeline.trust(limited=[WEBSITE])
    assert account_of(pipeline, "t0") == account_of(pipeline, "named") == A
    assert ("company", B) not in pipeline.held()
    assert pipeline.books()["filtered"] == {"untrusted_account": 1}
    assert notices(pipeline) == {B: 2}
    pipeline.trust(limited=[])
    assert pipeline.held() == before
    pipeline.settle()
    assert pipeline.figures() == figures


def test_a_review_goes_on_after_a_crash(pipeline: Pipeline) -> None:
    """How far it came is stored with what it changed; a change of mind in between begins anew."""
    attack(pipeline)
    pipeline.limited = frozenset({WEBSITE})
    pipeline.restart()
    assert pipeline.resolver.review(pipeline.connected, pipeline.now_ms, limit=3)
    pipeline.restart()
    assert pipeline.query("SELECT after_offset FROM reviews") == [(2,)]
    assert account_of(pipeline, "t0") != account_of(pipeline, "t4")
    pipeline.limited = frozenset()
    pipeline.restart()
    pipeline.review()
    assert account_of(pipeline, "t0") == account_of(pipeline, "t4") == B
    pipeline.trust(limited=[WEBSITE])
    assert account_of(pipeline, "t0") == account_of(pipeline, "t4") == A
    assert pipeline.query("SELECT * FROM reviews") == []


def test_a_changed_trust_leaves_what_is_older_than_the_windows(pipeline: Pipeline) -> None:
    """A review moves what a late fact could move, and nothing else."""
    attack(pipeline)
    pipeline.now_ms += 8 * DAY_MS
    pipeline.trust(limited=[WEBSITE])
    assert account_of(pipeline, "t0") == B
    pipeline.send(track("u1", messageId="new"), source=WEBSITE)
    pipeline.resolve()
    assert account_of(pipeline, "new") == A


# -- in Gainsight


async def test_a_company_gets_its_field_back(memory_path: Path) -> None:
    """A late fact of full trust: what a full-trust source said of the Company before stands in Gainsight again."""
    async with delivery_at_sandbox(memory_path, limited=[WEBSITE]) as delivery:
        pipeline = delivery.pipeline
        account = (await delivery.accounts())[0]["SfdcAccountId"]

        async def industry() -> Any:
            await delivery.drain()
            return {row["SfdcAccountId"]: row["Industry"] for row in await delivery.accounts()}[account]

        pipeline.send(group("u2", account, {"industry": "Tools"}, timestamp=at(-9)), source=SERVER)
        pipeline.send(group("u1", account, {"industry": "Ours now"}, timestamp=at(-5)), source=WEBSITE)
        pipeline.send(group("u1", "0019X00000Zz9ZzQAJ", {"industry": "Nobody's"}), source=WEBSITE)
        assert await industry() == "Ours now"
        assert (await delivery.books())["parked"] == {"unknown_company": 1}
        pipeline.send(group("u1", "acme"), source=SERVER)
        assert await industry() == "Tools"
        delivery.clock.advance(3600)
        await delivery.step_until(minutes=1)
        books = await delivery.books()
        assert (books["filtered"], books["parked"]) == ({"untrusted_account": 2}, {"unknown_company": 1})
        waiting = await delivery.read("SELECT count(*) FROM records WHERE object = 'company' AND state = 'parked'")
        assert waiting == [(1,)]  # acme; nobody asks for the other any more


def test_what_full_trust_says_again_counts_as_its_own(guarded: Pipeline) -> None:
    """What came live from a limited source, and long after in an archive of a trusted one, places its user."""
    said = group("u1", A, messageId="m1", timestamp=at(0))
    guarded.send(said, source=WEBSITE)
    guarded.resolve()
    guarded.now_ms += 8 * DAY_MS
    guarded.query("DELETE FROM seen")
    guarded.send(said, source=SERVER)
    guarded.resolve()
    guarded.restart()
    guarded.send(track("u1", messageId="t1", properties={"accountId": B}), source=WEBSITE)
    guarded.resolve()
    assert account_of(guarded, "t1") == A
