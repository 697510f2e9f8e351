"""What an end user did not consent to is not delivered, while what it says of identity is known."""

from pathlib import Path
from typing import Any

from tests.support.pipeline import Pipeline, at, group, identify, track
from tests.support.virtual import EVENTS, Step, VirtualProduct, workspace

YES = {"consent": {"categoryPreferences": {"analytics": True}}}
NO = {"consent": {"categoryPreferences": {"analytics": False}}}


def asking(*categories: str) -> dict[str, Any]:
    """A workspace whose destination asks for consent."""
    document = workspace()
    document["destinations"][0]["consentCategories"] = list(categories)
    return document


async def test_consent_decides_what_gainsight_gets(tmp_path: Path) -> None:
    """From the workspace file to Gainsight: refused events stay away, also when the destination asks no more."""
    product = VirtualProduct(tmp_path)
    await product.start()
    one, _ = await product.accounts()

    def events(hour: str) -> Step:
        said = {"properties": {"accountId": one}}
        batch = [
            track("u", "Seen", messageId=f"{hour}-{name}", timestamp=at(-1), context=context, **said)
            for name, context in [("yes", YES), ("no", NO), ("silent", {})]
        ]
        return Step("post", {"batch": batch})

    asked, later, settle = Step("apply", asking("analytics")), Step("apply", workspace()), Step("settle")
    await product.play([asked, events("a"), settle, later, events("b"), settle])
    held = "".join((await product.held())[EVENTS])
    names = ["a-yes", "a-silent", "b-yes", "b-no", "b-silent"]
    assert [name for name in (*names, "a-no") if name in held] == names
    books = (await product.outcome())["books"]["gainsight"]
    assert (books["filtered"], books["delivered"]) == ({"end_user_consent": 1}, 5)
    await product.stop()


def test_what_is_refused_is_known_all_the_same(tmp_path: Path) -> None:
    """Links and facts of a refused message place the messages that may be delivered; nothing of it is delivered."""
    pipeline = Pipeline(tmp_path, consentCategories=["analytics"])
    pipeline.send(
        identify("u", {"accountId": "acme", "firstName": "Mo"}, anonymousId="a", timestamp=at(-9), context=NO),
        track(None, anonymousId="a", messageId="t", timestamp=at(-8), context=YES),
        identify("u", {"email": "mo@acme.test"}, timestamp=at(-7), context=YES),
        group("u", "globex", {"name": "Globex"}, timestamp=at(-6), context=NO),
    )
    pipeline.resolve()
    held = pipeline.held()
    row = held["event", "t"]
    assert (row["User_Id__gc"], row["Account_Id__gc"]) == ("u", "acme")
    assert "FirstName" not in held["person", "mo@acme.test"]
    assert ("company", "globex") not in held
    assert pipeline.figures()["filtered"] == {"end_user_consent": 2}
    pipeline.close()


def test_consent_of_batch_and_message(tmp_path: Path) -> None:
    """The batch's consent applies to its messages; what a message says itself wins, however odd the rest of it is."""
    pipeline = Pipeline(tmp_path, consentCategories=["analytics"])
    said = {"userId": "u", "type": "track", "event": "e", "properties": {"accountId": "acme"}, "timestamp": at(-1)}
    items = {
        "inherits": {},
        "null": {"context": {"consent": None}},
        "own": {"context": YES},
        "odd": {"context": {**YES, "groupId": True}, "messageId": "odd", "anonymousId": 1.5},
        "odd no": {"context": {**NO, "groupId": True}, "anonymousId": 1.5},
    }
    pipeline.send_envelope({"context": NO}, *[{**said, "messageId": name, **item} for name, item in items.items()])
    pipeline.resolve()
    assert sorted(name for kind, name in pipeline.held() if kind == "event") == ["odd", "own"]
    pipeline.close()


def test_no_consent_comes_before_other_reasons(tmp_path: Path) -> None:
    """Segment's order: what has no place in Gainsight at all, then consent, then `integrations` and the allowlist."""
    pipeline = Pipeline(tmp_path, consentCategories=["analytics"], events=["Other"])
    none = {"integrations": {"All": False}}
    pipeline.send(
        {"type": "page", "userId": "u", "context": NO, **none},
        track("u", context=NO, **none),
        track("u", context=NO),
        track("u", context=YES, **none),
        track("u", context=YES),
    )
    pipeline.resolve()
    assert pipeline.figures()["filtered"] == {
        "unsupported_type": 1,
        "end_user_consent": 2,
        "integrations_object": 1,
        "event_not_listed": 1,
    }
    pipeline.close()


def test_who_asks_for_nothing_gets_everything(tmp_path: Path) -> None:
    """Without `consentCategories` consent keeps nothing back, as at Segment with unmapped destinations."""
    pipeline = Pipeline(tmp_path)
    pipeline.send(track("u", messageId="t", properties={"accountId": "acme"}, context=NO))
    pipeline.resolve()
    assert ("event", "t") in pipeline.held()
    pipeline.close()
