"""Whose message is it, and on which account: the decision for one message and one destination."""

from gainsight_destination.destinations.contract import Delivery
from gainsight_destination.resolve.identities import IdentityGraph, Names


def resolve(delivery: Delivery, graph: IdentityGraph, names: Names) -> None:
    """Set user, account and e-mail of a delivery from what is known now.

    The account of a track or group call is the one it names itself, else the user's account fact in force then;
    the account of an identify call is always the fact in force. A parked message that is to go without an account
    still takes one if there is one.
    """
    at_ms = delivery.at_ms
    delivery.user_id = graph.user_of(delivery.identity_id, at_ms)
    if delivery.said_account is not None and delivery.type != "identify":
        delivery.account_id = delivery.said_account
    else:
        fact = graph.account_in_force(delivery.user_id, at_ms, names)
        delivery.account_id = None if fact is None else fact.value
    if delivery.said_email is not None:
        delivery.email_id = delivery.said_email
    else:
        email = graph.email_in_force(delivery.user_id, at_ms)
        delivery.email_id = None if email is None else email.value
