"""Compares the configuration that is with the one that is wanted: the changes, and everything wrong with them.

Sources and destinations are matched by name. One that is no longer wanted is disabled and disconnected and never
deleted, since books, records and history belong to it. The sentences carry no secret: they go into the audit.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from gainsight_destination.destinations.catalog import CatalogEntry, entry_of
from gainsight_destination.errors import InvalidSettingsError, UserError
from gainsight_destination.workspace import stored
from gainsight_destination.workspace.model import Destination, Source, SourceKind, Trust, Webhook, Workspace
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.source_settings import document_of, problems_of, warnings_of
from gainsight_destination.workspace.spec import DestinationSpec, SourceSpec, WorkspaceSpec

UNREADABLE: Any = object()
"""Stands for a stored secret that the present key does not open."""

MAX_SHOWN_LENGTH = 60
SECRET_LENGTH = 16
MAKE_WRITE_KEY = "make one with: openssl rand -hex 16"
ABSENT: Any = object()
PUBLIC = (SourceKind.WEBSITE, SourceKind.MOBILE)
"""Kinds of source whose write key is shipped to everybody."""

Write = Callable[[sqlite3.Connection, Secrets], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference in words, and how to make it so."""

    sentence: str
    write: Write = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying would do, in order."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(change.sentence for change in self.changes)


def make_plan(present: Workspace, wanted: WorkspaceSpec, catalog: Mapping[str, CatalogEntry]) -> Plan:
    """The way from one to the other. Raises InvalidSettingsError with every problem of the wanted configuration.

    Secrets of `present` may be UNREADABLE; then they have to be given again.
    """
    comparison = _Comparison(present, wanted, catalog)
    comparison.refuse_contradictions()
    changes = [*comparison.sources(), *comparison.destinations()]
    if problems := [*wanted.problems, *comparison.problems]:
        raise InvalidSettingsError(problems)
    return Plan(tuple(changes), tuple(comparison.warnings))


class _Comparison:
    def __init__(self, present: Workspace, wanted: WorkspaceSpec, catalog: Mapping[str, CatalogEntry]) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._present = present
        self._wanted = wanted
        self._catalog = catalog
        self._source_names = {source.id: source.name for source in present.sources}

    def refuse_contradictions(self) -> None:
        """Names and write keys that are there twice, and connections to nothing."""
        for kind, specs in (("source", self._wanted.sources), ("destination", self._wanted.destinations)):
            first: dict[str, str] = {}
            for spec in specs:
                if spec.name in first:
                    self._refuse(spec, f"there is a {kind} {quoted(spec.name)} already, {first[spec.name]}")
                first.setdefault(spec.name, spec.place)
        owners = self._kept_write_keys()
        for source in self._wanted.sources:
            owner = owners.setdefault(source.write_key, source.name) if source.write_key else source.name
            if owner != source.name:
                whose = f"source {quoted(owner)}; every source needs its own"
                if owner not in {each.name for each in self._wanted.sources}:
                    whose = (
                        f"the stored source {quoted(owner)}, which is left out here; a source cannot change its name"
                    )
                self._refuse(source, f"its write key is the one of {whose}")
        names = [source.name for source in self._wanted.sources]
        for destination in self._wanted.destinations:
            for name in destination.sources:
                if name not in names:
                    close = get_close_matches(name, names, n=1)
                    hint = f"did you mean {quoted(close[0])}?" if close else "add it to the sources"
                    self._refuse(destination, f"there is no source {quoted(name)} to connect; {hint}")

    def _kept_write_keys(self) -> dict[str, str]:
        """Write keys of stored sources that stay what they are."""
        wanted = {spec.name: spec for spec in self._wanted.sources}
        present = self._present.sources
        retired = {source.retired_key: source.name for source in present if source.retired_key}
        return retired | {
            source.write_key: source.name
            for source in present
            if source.name not in wanted or wanted[source.name].write_key is None
        }

    def _refuse(self, spec: SourceSpec | DestinationSpec, problem: str) -> None:
        self.problems.append(f"{spec.place}: {problem}" if spec.place else f"{quoted(spec.name)}: {problem}")

    # -- sources

    def sources(self) -> Iterator[Change]:
        present = {source.name: source for source in self._present.sources}
        wanted = {spec.name: spec for spec in self._wanted.sources}
        new_keys = {
            name: spec.write_key
            for name, spec in wanted.items()
            if name in present and spec.write_key not in (None, present[name].write_key)
        }
        if new_keys:  # before anything is added: a new source may get the write key that another gives up
            yield from together(
                [f"change the write key of source {quoted(name)}" for name in new_keys],
                lambda connection, _secrets: stored.set_write_keys(connection, new_keys),
            )
        for name, spec in wanted.items():
            if name not in present:
                if spec.write_key is None:
                    self._refuse(spec, f"the new source {quoted(name)} needs a writeKey; {MAKE_WRITE_KEY}")
                sentence = f"add source {quoted(name)}{'' if spec.enabled else ', disabled'}"
                yield change(sentence, stored.add_source, name, spec.write_key, spec.enabled)
            elif spec.enabled != present[name].enabled:
                yield change(enabling("source", name, spec.enabled), stored.enable_source, name, spec.enabled)
            yield from self._source_settings(spec, present.get(name))
        for name, source in present.items():
            if name not in wanted and source.enabled:
                yield change(dropping("source", name), stored.enable_source, name, False)
        trusted = [spec for spec in wanted.values() if spec.enabled and spec.trust is Trust.FULL]
        if any(spec.kind not in PUBLIC for spec in trusted):
            self.warnings.extend(
                f"source {quoted(spec.name)}: anybody can read its write key and name any account; `trust: limited` "
                "keeps it from moving users whose account another source has said"
                for spec in trusted
                if spec.kind in PUBLIC
            )
        if {spec.trust for spec in wanted.values() if spec.enabled} == {Trust.LIMITED}:
            self.warnings.append(
                "every source has limited trust, so no user's account is ever sure and all of them are believed; "
                "give full trust to the source that knows best"
            )

    def _source_settings(self, spec: SourceSpec, present: Source | None) -> Iterator[Change]:
        kept = present.webhook.secrets if present and present.webhook else ()
        secrets = (spec.webhook.secrets or kept) if spec.webhook else ()
        if UNREADABLE in secrets:
            self._refuse(
                spec, "the stored webhook.secrets do not open with the present key; give them again, or restore the key"
            )
            return
        if not spec.complete:
            return
        write_key = spec.write_key or (present.write_key if present else None)
        for problem in problems_of(spec, secrets, write_key):
            self._refuse(spec, problem)
        self.warnings.extend(f"source {quoted(spec.name)}: {warning}" for warning in warnings_of(secrets))
        before = flat(document_of(present) if present else {}, kept)
        sentences = differences(before, flat(document_of(spec), secrets), frozenset({"webhook.secrets"}))
        webhook = replace(spec.webhook, secrets=secrets) if spec.webhook else None
        write = partial(write_source_settings, name=spec.name, document=document_of(spec), webhook=webhook)
        yield from together([f"source {quoted(spec.name)}: {sentence}" for sentence in sentences], write)

    # -- destinations

    def destinations(self) -> Iterator[Change]:
        present = {destination.name: destination for destination in self._present.destinations}
        for spec in self._wanted.destinations:
            yield from self._destination(spec, present.pop(spec.name, None))
        for name, destination in present.items():
            yield from self._connections(name, destination, ())
            if destination.enabled:
                yield change(dropping("destination", name), stored.enable_destination, name, False)

    def _destination(self, spec: DestinationSpec, present: Destination | None) -> Iterator[Change]:
        try:
            entry = entry_of(spec.type, self._catalog)
        except UserError as error:
            self._refuse(spec, str(error))
            return
        if present is None:
            disabled = "" if spec.enabled else ", disabled"
            sentence = f"add destination {quoted(spec.name)} of type {spec.type}{disabled}"
            yield change(sentence, stored.add_destination, spec.name, spec.type, spec.enabled)
        elif present.type != spec.type:
            self._refuse(spec, f"its type is {present.type}, which cannot change; add a destination with another name")
            return
        yield from self._settings(spec, entry, {} if present is None else present.settings)
        yield from self._consent(spec, () if present is None else present.consent_categories)
        if present is not None and spec.enabled != present.enabled:
            sentence = enabling("destination", spec.name, spec.enabled)
            yield change(sentence, stored.enable_destination, spec.name, spec.enabled)
        yield from self._connections(spec.name, present, spec.sources)
        if not spec.sources and spec.enabled:
            self.warnings.append(f"destination {quoted(spec.name)} is connected to no source and receives nothing")

    def _settings(self, spec: DestinationSpec, entry: CatalogEntry, present: Mapping[str, Any]) -> Iterator[Change]:
        keepable = entry.secrets_beside(spec.settings)
        if present and entry.moves(present, spec.settings):
            lost = sorted(name for name in keepable if name in present and name not in spec.settings)
            if lost:
                places = " and ".join(entry.address_settings)
                self._refuse(spec, f"{places} changes, so {' and '.join(lost)} must be given again with it")
                return
        kept = {name: value for name, value in present.items() if name in keepable}
        settings = kept | dict(spec.settings)
        unreadable = [name for name, value in settings.items() if value is UNREADABLE]
        for name in unreadable:
            self._refuse(
                spec, f"the stored {name} does not open with the present key; give it again, or restore the key"
            )
        if unreadable or not spec.complete:
            return
        for name in sorted(settings.keys() - entry.secret_settings):
            if any(secret in json.dumps(settings[name], default=str) for secret in self._secrets(entry, settings)):
                self._refuse(
                    spec, f"{name} contains a secret or a write key, and would be shown to people; take it out"
                )
        try:
            checked = entry.parse_settings(settings)
        except InvalidSettingsError as error:
            for problem in error.problems:
                self._refuse(spec, problem)
            return
        self.warnings.extend(f"destination {quoted(spec.name)}: {warning}" for warning in entry.warnings(checked))
        sentences = differences(present, settings, entry.secret_settings)
        write = partial(write_settings, name=spec.name, settings=settings, secret_settings=entry.secret_settings)
        yield from together([f"destination {quoted(spec.name)}: {sentence}" for sentence in sentences], write)

    def _consent(self, spec: DestinationSpec, present: tuple[str, ...]) -> Iterator[Change]:
        wanted = spec.consent_categories
        if set(wanted) == set(present):
            return
        if wanted:
            asked = f"ask for consent to {', '.join(quoted(category) for category in wanted)}"
        else:
            asked = "ask for consent no more"
        sentence = f"destination {quoted(spec.name)}: {asked}"
        yield change(sentence, stored.set_consent_categories, spec.name, wanted)

    def _secrets(self, entry: CatalogEntry, settings: Mapping[str, Any]) -> list[str]:
        """Everything that must not stand in a setting that is shown; what is short may be there by chance."""
        values = [settings.get(name) for name in entry.secret_settings]
        sources: list[Source | SourceSpec] = [*self._present.sources, *self._wanted.sources]
        for source in sources:
            values += [source.write_key, *(source.webhook.secrets if source.webhook else ())]
        texts = (value.strip() for value in values if isinstance(value, str))
        return [text for text in texts if len(text) >= SECRET_LENGTH]

    def _connections(self, name: str, present: Destination | None, wanted: tuple[str, ...]) -> Iterator[Change]:
        connected = sorted(self._source_names[id_] for id_ in present.source_ids) if present else []
        for source in connected:
            if source not in wanted:
                sentence = f"disconnect source {quoted(source)} from destination {quoted(name)}"
                yield change(sentence, stored.disconnect_source, source, name)
        for source in wanted:
            if source not in connected:
                sentence = f"connect source {quoted(source)} to destination {quoted(name)}"
                yield change(sentence, stored.connect_source, source, name)


def change(sentence: str, write: Callable[..., None], *arguments: Any) -> Change:
    return Change(sentence, lambda connection, _secrets: write(connection, *arguments))


def together(sentences: Sequence[str], write: Write) -> Iterator[Change]:
    """Several sentences about one write."""
    for number, sentence in enumerate(sentences):
        yield Change(sentence, nothing if number else write)


def write_settings(
    connection: sqlite3.Connection,
    secrets: Secrets,
    *,
    name: str,
    settings: Mapping[str, Any],
    secret_settings: frozenset[str],
) -> None:
    stored.set_settings(connection, secrets, name, settings, secret_settings)


def write_source_settings(
    connection: sqlite3.Connection, secrets: Secrets, *, name: str, document: Mapping[str, Any], webhook: Webhook | None
) -> None:
    stored.set_source_settings(connection, secrets, name, document, webhook)


def flat(document: Mapping[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """The settings of a source by their path, `webhook.sender`, so that each difference is told by itself."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        inner = value if isinstance(value, dict) else None
        found |= {name: value} if inner is None else {f"{name}.{key}": each for key, each in inner.items()}
    return found | ({"webhook.secrets": tuple(secrets)} if secrets else {})


def nothing(_connection: sqlite3.Connection, _secrets: Secrets) -> None:
    """The write of a sentence that tells more about the change before it."""


def differences(before: Mapping[str, Any], after: Mapping[str, Any], secret: frozenset[str]) -> list[str]:
    """One sentence per setting that is not what it was; values are shown unless they are secret."""
    sentences = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        if old is not ABSENT and new is not ABSENT and old == new and type(old) is type(new):
            continue
        verb = "set" if old is ABSENT else "remove" if new is ABSENT else "change"
        if name in secret:
            sentences.append(f"{verb} {name}")
        elif verb == "set":
            sentences.append(f"set {name} to {shown(new)}")
        elif verb == "remove":
            sentences.append(f"remove {name}, which was {shown(old)}")
        else:
            sentences.append(f"change {name} from {shown(old)} to {shown(new)}")
    return sentences


def shown(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= MAX_SHOWN_LENGTH else f"{written[:MAX_SHOWN_LENGTH]}..."


def quoted(name: str) -> str:
    return f'"{name}"'


def enabling(kind: str, name: str, enabled: bool) -> str:
    return f"{'enable' if enabled else 'disable'} {kind} {quoted(name)}"


def dropping(kind: str, name: str) -> str:
    return f"disable {kind} {quoted(name)}, which is not wanted any more (kept with its history, not deleted)"
