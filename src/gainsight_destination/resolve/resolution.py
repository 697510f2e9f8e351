"""Whose message is it, and on which account: the decision for one message and one destination."""

from collections.abc import Mapping
from typing import Final

from gainsight_destination.destinations.contract import Delivery, EventNames, Placement, RecordDestination
from gainsight_destination.resolve.identities import IdentityGraph, Names
from gainsight_destination.resolve.trust import UNTRUSTED_ACCOUNT

_UNTRUSTED: Final = Placement(state="filtered", reason=UNTRUSTED_ACCOUNT)


def resolve(delivery: Delivery, graph: IdentityGraph, names: Names) -> None:
    """Set user, account and e-mail of a delivery from what is known now.

    The account of a track or group call is the one it names itself, else the user's account fact in force then;
    the account of an identify call is always the fact in force. A parked message that is to go without an account
    still takes one if there is one. What a source of limited trust names counts only for users who are not placed.
    """
    at_ms, said = delivery.at_ms, delivery.said_account
    delivery.user_id = graph.user_of(delivery.identity_id, at_ms)
    delivery.untrusted = False
    if said is not None and delivery.type != "identify":
        delivery.account_id = said
    else:
        fact = graph.account_in_force(delivery.user_id, at_ms, names)
        delivery.account_id = None if fact is None else fact.value
    if said is not None and delivery.source_id in graph.limited:
        placed = graph.placed_account_in_force(delivery.user_id, at_ms, names)
        if placed is not None:
            delivery.account_id = placed.value
            delivery.untrusted = placed.value != said
    if delivery.said_email is not None:
        delivery.email_id = delivery.said_email
    else:
        email = graph.email_in_force(delivery.user_id, at_ms)
        delivery.email_id = None if email is None else email.value


def place(
    delivery: Delivery,
    destination: RecordDestination,
    event_name: EventNames,
    placing: Mapping[str, str] | None = None,
) -> Placement:
    """Which records a resolved message touches. An untrusted group call touches none, whatever the destination.

    `placing`: under these settings, if not under those of today.
    """
    if delivery.untrusted and delivery.type == "group":
        return _UNTRUSTED
    if placing is None:
        return destination.place(delivery, event_name)
    return destination.place_as(delivery, placing, event_name)
