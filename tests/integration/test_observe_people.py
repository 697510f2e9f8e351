"""An account and a user, as a person looks them up: who said what when, and where their records stand."""

from pathlib import Path

from tests.support.delivery import delivery_at_sandbox
from tests.support.pipeline import NOW_MS, Pipeline, at, group, identify, track

from gainsight_destination.observe.people import (
    AccountFact,
    EmailFact,
    Found,
    Linked,
    account,
    search,
    user,
)

ACCOUNT = "001A0000006Vm9rIAC"
MINUTE_MS = 60_000


def test_search_by_the_beginning(pipeline: Pipeline) -> None:
    """Accounts in any spelling, e-mails in any letter case, userIds and anonymousIds; nothing else, and no scan."""
    pipeline.send(
        identify("ana-1", {"email": "Ana@x.test", "accountId": ACCOUNT}, anonymousId="anon-1"),
        identify("ana-2", {"accountId": "acme"}),
        identify("ben", {}),
    )
    pipeline.resolve()
    assert search(pipeline.connection, "ana") == [
        Found("email", "ana@x.test"),
        Found("userId", "ana-1"),
        Found("userId", "ana-2"),
    ]
    assert search(pipeline.connection, "ANA@") == [Found("email", "ana@x.test")]
    assert search(pipeline.connection, "001A0000006Vm9r") == [Found("account", ACCOUNT)]
    assert search(pipeline.connection, "001A") == [Found("account", ACCOUNT)]
    assert search(pipeline.connection, "anon-1") == [Found("anonymousId", "anon-1")]
    assert len(search(pipeline.connection, "ana", limit=1)) == 2
    assert search(pipeline.connection, " ") == search(pipeline.connection, "100%") == []


async def test_an_account(tmp_path: Path) -> None:
    """Its facts with their evidence, how many users, its Company, its usage and its newest messages."""
    async with delivery_at_sandbox(tmp_path, flushSeconds=1) as delivery:
        known = (await delivery.accounts())[0]["SfdcAccountId"]
        delivery.send(
            group("ana", known, {"name": "Known"}, messageId="g1"),
            identify("ben", {"accountId": known}, messageId="i1"),
            track("ana", "Seen", messageId="t1"),
            track("ana", "Seen", messageId="t2"),
            track("ben", "Done", messageId="t3", properties={"accountId": "acme"}),
        )
        await delivery.drain(minutes=3)
        told = await delivery.database.read(lambda connection: account(connection, known[:15]))
        nobody = await delivery.database.read(lambda connection: account(connection, "nobody"))
        doubtful = await delivery.database.read(lambda connection: account(connection, "acme"))
    assert nobody is None
    assert told is not None
    assert (told.id, told.warning, told.users) == (known, None, 2)
    assert {(fact.user, fact.name, fact.message_id, fact.source) for fact in told.facts} == {
        ("ana", "groupId", "g1", "website"),
        ("ben", "accountId", "i1", "website"),
    }
    ((company,), (gainsight,)) = told.records, told.companies
    assert (company.object, company.state, company.presence, company.dead_letter) == (
        "company",
        "clean",
        "present",
        None,
    )
    assert gainsight.present
    assert gainsight.gsid
    (usage,) = told.usage
    assert (usage.event, usage.user, usage.count, usage.state) == ("Seen", "ana", 2, "clean")
    states = {message.message_id: message.state for message in told.messages}
    assert states == {"g1": "delivered", "t1": "delivered", "t2": "delivered", "i1": "filtered"}
    assert doubtful is not None
    assert doubtful.warning


def test_a_user(pipeline: Pipeline) -> None:
    """Found by userId, anonymousId or e-mail: who is linked, e-mails and accounts over time, the Person, messages."""
    pipeline.send(
        {"type": "track", "event": "Seen", "anonymousId": "a1", "messageId": "m0", "timestamp": at(-9)},
        identify(
            "ana", {"email": "old@x.test", "accountId": "acme"}, anonymousId="a1", messageId="m1", timestamp=at(-8)
        ),
        identify("ana", {"email": "new@x.test"}, messageId="m2", timestamp=at(-4)),
        group("ana", ACCOUNT, messageId="m3", timestamp=at(-3)),
        identify("ben", {"email": "ben@x.test"}, messageId="m4", timestamp=at(-2)),
    )
    pipeline.send({"type": "alias", "userId": "ana", "previousId": "ana-old", "messageId": "m5"}, source=2)
    pipeline.resolve()
    found = [user(pipeline.connection, [pipeline.connected], name, NOW_MS) for name in ("ana", "a1", "OLD@x.test")]
    assert found[0] == found[1] == found[2]
    told = found[0]
    assert told is not None
    assert (told.id, told.kind, told.identities[0]) == ("ana", "userId", Linked("userId", "ana"))
    assert {(linked.kind, linked.value) for linked in told.identities[1:]} == {
        ("anonymousId", "a1"),
        ("userId", "ana-old"),
        ("anonymousId", "ana-old"),
    }
    assert told.accounts == {"gainsight": ACCOUNT}
    assert told.account_facts == [
        AccountFact(ACCOUNT, "ana", "groupId", NOW_MS - 3 * MINUTE_MS, "m3", "website"),
        AccountFact("acme", "ana", "accountId", NOW_MS - 8 * MINUTE_MS, "m1", "website"),
    ]
    assert told.emails == [
        EmailFact("new@x.test", NOW_MS - 4 * MINUTE_MS, "m2"),
        EmailFact("old@x.test", NOW_MS - 8 * MINUTE_MS, "m1"),
    ]
    assert [record.state for record in told.records] == ["dirty", "dirty"]
    assert [message.message_id for message in told.messages] == ["m3", "m2", "m1", "m0"]
    assert user(pipeline.connection, [pipeline.connected], "nobody", NOW_MS) is None


def test_an_identity_that_went_to_another_user(pipeline: Pipeline) -> None:
    """What was said under a shared browser belongs to who used it then."""
    pipeline.send(
        identify("ana", {}, anonymousId="a1", timestamp=at(-9), messageId="m1"),
        identify(None, {"email": "ana@x.test"}, anonymousId="a1", timestamp=at(-8), messageId="m2"),
        identify("ben", {}, anonymousId="a1", timestamp=at(-5), messageId="m3"),
        identify(None, {"email": "ben@x.test"}, anonymousId="a1", timestamp=at(-4), messageId="m4"),
    )
    pipeline.resolve()
    ana, ben = (user(pipeline.connection, [pipeline.connected], name, NOW_MS) for name in ("ana", "ben"))
    assert ana is not None
    assert ben is not None
    assert ([fact.email for fact in ana.emails], [fact.email for fact in ben.emails]) == (
        ["ana@x.test"],
        ["ben@x.test"],
    )
    assert [message.message_id for message in ana.messages] == ["m2", "m1"]
    assert [message.message_id for message in ben.messages] == ["m4", "m3"]
