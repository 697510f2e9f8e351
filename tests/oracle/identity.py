"""Who is who, and which account and e-mail were in force: every question is answered by going through all messages."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.oracle.accounts import account_id
from tests.oracle.messages import Message, text_of_id


class Identity(NamedTuple):
    """A userId or an anonymousId. A userId and an equal anonymousId are two identities."""

    kind: str
    text: str


@dataclass(frozen=True)
class Fact:
    """Something that holds from a time on, because a message said so."""

    at_ms: int
    message_id: str
    value: Any


def in_force(facts: Iterable[Fact], at_ms: int) -> Fact | None:
    """The newest fact that is not younger than that time. If the time is before all of them, the oldest one. Of facts
    with one date, the one of the greater message id, by code point."""
    facts = list(facts)
    if not facts:
        return None
    oldest_ms = min(fact.at_ms for fact in facts)
    date_ms = max(fact.at_ms for fact in facts if fact.at_ms <= max(at_ms, oldest_ms))
    return max((fact for fact in facts if fact.at_ms == date_ms), key=lambda fact: code_points(fact.message_id))


def code_points(text: str) -> list[int]:
    return [ord(character) for character in text]


def identity_of(message: Message) -> Identity:
    """The userId when present, else the anonymousId."""
    if message.user_id is not None:
        return Identity("user", message.user_id)
    assert message.anonymous_id is not None
    return Identity("anonymous", message.anonymous_id)


def links_of(identity: Identity, messages: Sequence[Message]) -> list[Fact]:
    """A message with both ids says: this anonymousId is that user. An alias says: previousId, be it a userId or an
    anonymousId, is part of userId. That somebody is part of himself says nothing. The previousId of a source of limited
    trust is an anonymousId only."""
    links = []
    for message in messages:
        if message.user_id is None:
            continue
        user = Identity("user", message.user_id)
        linked = set()
        if message.anonymous_id is not None:
            linked.add(Identity("anonymous", message.anonymous_id))
        if message.type == "alias" and message.previous_id is not None:
            linked.add(Identity("anonymous", message.previous_id))
            if not message.limited:
                linked.add(Identity("user", message.previous_id))
        if identity in linked - {user}:
            links.append(Fact(message.at_ms, message.id, user))
    return links


def user_of(identity: Identity, at_ms: int, messages: Sequence[Message]) -> Identity:
    """Links are followed to their end. Aliases that point at each other in a circle name one user: the one that the
    newest link of the circle points at."""
    way: list[tuple[Identity, Fact]] = []
    while True:
        link = in_force(links_of(identity, messages), at_ms)
        if link is None:
            return identity
        passed = [one for one, _ in way]
        if identity in passed:
            circle = [link for _, link in way[passed.index(identity) :]]
            newest = max(circle, key=lambda link: (link.at_ms, code_points(link.message_id)))
            return newest.value
        way.append((identity, link))
        identity = link.value


def account_said(message: Message, names: Sequence[str]) -> str | None:
    """The account id under the best of the names that is there."""
    for name in names:
        text = text_of_id(message.said.get(name))
        if text is not None:
            return account_id(text)
    return None


def account_fact(message: Message, names: Sequence[str]) -> str | None:
    """`identify` with the trait, and `group` with `groupId`, say that their user belongs to this account."""
    if message.type == "identify":
        return account_said(message, names)
    return account_id(message.group_id) if message.type == "group" and message.group_id is not None else None


def facts_about(user: Identity, messages: Sequence[Message], names: Sequence[str]) -> list[Message]:
    """The messages with an account fact, said by whoever was this user when he said them."""
    return [
        message
        for message in messages
        if account_fact(message, names) is not None and user_of(identity_of(message), message.at_ms, messages) == user
    ]


def is_placed(user: Identity, messages: Sequence[Message], names: Sequence[str]) -> bool:
    """Whether a source of full trust has ever said an account fact of the user."""
    return any(not message.limited for message in facts_about(user, messages, names))


def account_in_force(user: Identity, at_ms: int, messages: Sequence[Message], names: Sequence[str]) -> str | None:
    """Of the facts about the user, the one in force. For a placed user those of limited sources are never in force."""
    facts = [
        Fact(message.at_ms, message.id, account_fact(message, names))
        for message in facts_about(user, messages, names)
        if not (message.limited and is_placed(user, messages, names))
    ]
    found = in_force(facts, at_ms)
    return None if found is None else found.value


def email_said(message: Message) -> str | None:
    """The `email` of an identify: trimmed, lower case; one without the shape of an address is not used."""
    value = message.said.get("email") if message.type == "identify" else None
    if not isinstance(value, str):
        return None
    email = value.strip().lower()
    return email if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", email) else None


def email_in_force(user: Identity, at_ms: int, messages: Sequence[Message]) -> str | None:
    """Of the e-mail addresses said by whoever was this user then, the one in force."""
    facts = [
        Fact(message.at_ms, message.id, email_said(message))
        for message in messages
        if email_said(message) is not None and user_of(identity_of(message), message.at_ms, messages) == user
    ]
    found = in_force(facts, at_ms)
    return None if found is None else found.value
