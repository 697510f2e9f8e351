"""The `integrations` truth table and the allowlist's matching, against vectors of Segment's own code."""

import pytest

from gainsight_destination.resolve.filters import Allowlist, enabled_by_integrations, to_no_case


@pytest.mark.parametrize(
    ("integrations", "enabled"),
    [
        (None, True),
        ({}, True),
        ([], True),
        (False, True),
        ("x", True),
        ({"All": False}, False),
        ({"all": False}, False),
        ({"ALL": False}, False),
        ({"All": False, "Gainsight": True}, True),
        ({"All": False, "Gainsight": {"x": 1}}, True),
        ({"All": False, "gainsight": True}, False),
        ({"All": True}, True),
        ({"Gainsight": False}, False),
        ({"gainsight": False}, True),
        ({"Gainsight": None}, True),
        ({"Gainsight": 0}, True),
        ({"Gainsight": "false"}, True),
        ({"Gainsight": {}}, True),
        ({"All": "false"}, True),
        ({"All": 0}, True),
        ({"All": {}}, True),
        ({"Mixpanel": False}, True),
    ],
)
def test_integrations(integrations: object, enabled: bool) -> None:
    """The documented part of Segment's truth table."""
    assert enabled_by_integrations(integrations, "Gainsight") is enabled


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((n, "order completed") for n in ("Order Completed", "ORDER COMPLETED", "Order_Completed", "order-completed")),
        *((n, "order completed") for n in ("orderCompleted", "OrderCompleted", "order.completed", "Order:Completed")),
        ("Order  Completed", "order  completed"),
        (" Order Completed", " order completed"),
        ("SIGNUP", "signup"),
        ("signup", "signup"),
        ("SignUp", "sign up"),
        ("signup!", "signup!"),
        ("orderID", "order i d"),
        ("order_ID", "order id"),
        ("$pageview", "$pageview"),
        ("Order_Completed v2", "order_completed v2"),
        ("café", "café"),
        ("购A", "购a"),
        ("___", "___"),
    ],
)
def test_to_no_case(name: str, expected: str) -> None:
    """Names are compared as to-no-case 1.0.2 normalises them."""
    assert to_no_case(name) == expected


def test_allowlist() -> None:
    """Empty means all; otherwise a listed name and its variants pass, and nothing else."""
    assert Allowlist([]).allows("Anything")
    listed = Allowlist(["Order Completed"])
    assert listed.allows("order_completed")
    assert listed.allows("orderCompleted")
    assert not listed.allows("Order Refunded")
