"""Consent as Segment documents it, the `integrations` truth table and the allowlist's matching."""

import pytest

from gainsight_destination.events.event_names import to_no_case
from gainsight_destination.resolve.filters import Allowlist, consented, enabled_by_integrations


@pytest.mark.parametrize(
    ("consent", "allowed"),
    [
        (None, True),
        (b"{}", True),
        (b'{"version":2}', True),
        (b'{"categoryPreferences":null}', True),
        (b'{"categoryPreferences":{}}', False),
        (b'{"categoryPreferences":{"ads":true,"analytics":true}}', True),
        (b'{"categoryPreferences":{"ads":true,"analytics":true,"other":false}}', True),
        (b'{"categoryPreferences":{"ads":true,"analytics":false}}', False),
        (b'{"categoryPreferences":{"ads":true}}', False),
        (b'{"categoryPreferences":{"ads":true,"Analytics":true}}', False),
        (b'{"categoryPreferences":{"ads":true,"analytics":"true"}}', False),
        (b'{"categoryPreferences":{"ads":true,"analytics":1}}', False),
        (b'{"categoryPreferences":["ads","analytics"]}', False),
        (b'{"categoryPreferences":"all"}', False),
        (b'"granted"', False),
        (b"true", False),
        (b"[", False),
    ],
)
def test_consent(consent: bytes | None, allowed: bool) -> None:
    """Without preferences nothing is held back; with some, every category needs `true`; odd ones are no consent."""
    assert consented(consent, {"ads", "analytics"}) is allowed
    assert consented(consent, ()) is True


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
