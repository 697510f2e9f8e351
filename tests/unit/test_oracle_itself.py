"""The oracle is worth something only if it shares nothing with the product, and if it says what the docs say."""

import ast
from pathlib import Path
from typing import Any

import pytest
from tests.oracle.books import books_of_destination
from tests.oracle.expected import Oracle, Tenant
from tests.oracle.fields import Field
from tests.oracle.filters import no_case
from tests.oracle.identity import Fact, in_force
from tests.oracle.messages import Receipt

ORACLE = Path(__file__).parents[1] / "oracle"
A, B = "001A0000006Vm9rIAC", "0015000000abcDEAAY"
TEXTS = ("Message_Id__gc", "Event_Name__gc", "User_Id__gc", "Account_Id__gc", "Properties__gc")
FIELDS = {"company": {}, "person": {}, "link": {"Title": Field()}} | dict.fromkeys(
    ("event", "usage"), dict.fromkeys(TEXTS, Field())
)


@pytest.mark.parametrize("path", sorted(ORACLE.glob("*.py")), ids=lambda path: path.stem)
def test_it_imports_nothing_of_the_product(path: Path) -> None:
    """Only the standard library and itself: what both shared, both could have wrong."""
    allowed = {"ast", "collections", "dataclasses", "datetime", "hashlib", "json", "math", "re", "typing"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert name.startswith("tests.oracle.") or name.partition(".")[0] in allowed, name
        assert not (isinstance(node, ast.Name) and node.id in ("__import__", "eval", "exec"))


def test_the_as_of_rule() -> None:
    """The newest that is not younger, else the oldest; of one date the greater message id, by code point."""
    facts = [Fact(10, "b", "B"), Fact(10, "\U0001d54f", "astral"), Fact(10, "\uffee", "plane 0"), Fact(20, "a", "A")]
    assert [in_force(facts, at_ms).value for at_ms in (0, 10, 19, 20, 99)] == ["astral"] * 3 + ["A"] * 2  # type: ignore[union-attr]
    assert in_force([], 5) is None


def the_worked_example() -> list[Receipt]:
    """Ana's day, from docs/semantics.md."""

    def at(hour: int, message_id: str, kind: str, **more: Any) -> Receipt:
        item = {"type": kind, "messageId": message_id, "userId": "ana", "timestamp": f"2027-01-14T{hour:02}:00:00Z"}
        return Receipt(1, 0, item | more)

    return [
        at(9, "t1", "track", event="E"),
        at(10, "g1", "group", groupId=A),
        at(11, "t2", "track", event="E"),
        at(12, "g2", "group", groupId=B),
        at(12, "t3", "track", event="E"),
        at(13, "t4", "track", event="E", properties={"accountId": 555}),
        at(14, "t5", "track", event="E", context={"groupId": A}),
    ]


def test_the_worked_example() -> None:
    """The accounts of Ana's events are those the docs give, in any order of the messages."""
    for receipts in (the_worked_example(), the_worked_example()[::-1]):
        oracle = Oracle(receipts, {}, Tenant(FIELDS, companies=[A[:15]]), connected=[1])
        held = oracle.delivered()
        assert {name: row["Account_Id__gc"] for name, row in held.events.items()} == {
            "t1": A,
            "t2": A,
            "t3": B,
            "t4": "555",
            "t5": A,
        }
        counts = {key[0]: row["Event_Count__gc"] for key, row in held.usage.items()}
        assert counts == {A: 3, B: 1, "555": 1}
        books = books_of_destination(oracle)
        assert books["delivered"] == 6
        assert books["parked"] == {"unknown_company": 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((n, "order completed") for n in ("Order Completed", "Order_Completed", "orderCompleted", "order:completed")),
        *(
            ("Order  Completed", "order  completed"),
            ("SIGNUP", "signup"),
            ("SignUp", "sign up"),
            ("signup!", "signup!"),
        ),
        *(("orderID", "order i d"), ("order_ID", "order id"), ("Order_Completed v2", "order_completed v2")),
        *(("café", "café"), ("___", "___"), ("$pageview", "$pageview")),
    ],
)
def test_names_of_events(name: str, expected: str) -> None:
    """Vectors of to-no-case 1.0.2."""
    assert no_case(name) == expected
