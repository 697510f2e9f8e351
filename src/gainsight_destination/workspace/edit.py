"""Single changes of the configuration, as the console and the control API make them.

Each is the present configuration with one thing different, planned, checked, versioned and audited as a workspace file
is. Who changes something says which version they saw: what somebody else changed meanwhile is not undone unseen.
"""

import secrets as random
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from gainsight_destination.destinations.catalog import entry_of
from gainsight_destination.errors import UserError
from gainsight_destination.workspace import stored
from gainsight_destination.workspace.file import MAX_NAME_LENGTH
from gainsight_destination.workspace.model import Destination, Source, Workspace
from gainsight_destination.workspace.plan import UNREADABLE, quoted
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import ApplyResult, apply_within, decrypt_if_possible, record
from gainsight_destination.workspace.source_settings import document_of
from gainsight_destination.workspace.spec import DestinationSpec, SourceSpec, WorkspaceSpec

OVERLAP_MS: Final = 24 * 3_600_000
"""A write key that is replaced stays good for so long, unless told otherwise."""


class ChangedMeanwhileError(UserError):
    """Somebody else changed the configuration since it was looked at."""


class Editor(NamedTuple):
    """Who changes something, and what they saw; inside the transaction of the change."""

    connection: sqlite3.Connection
    secrets: Secrets
    actor: str
    now_ms: int
    seen_version: int | None = None
    """None: whatever there is now."""

    def present(self) -> Workspace:
        """The configuration now. Raises ChangedMeanwhileError when it is not the one that was seen."""
        workspace = stored.read_workspace(self.connection, partial(decrypt_if_possible, self.secrets))
        if self.seen_version not in (None, workspace.version):
            raise ChangedMeanwhileError(
                "somebody else changed the configuration since you opened this page; look at it again, then repeat"
            )
        return workspace

    def apply(self, change: Callable[[WorkspaceSpec], WorkspaceSpec]) -> ApplyResult:
        """The present configuration with a change. Raises InvalidSettingsError with every problem."""
        wanted = change(spec_of(self.present()))
        return apply_within(self.connection, self.secrets, wanted, now_ms=self.now_ms, actor=self.actor)

    def did(self, sentence: str) -> ApplyResult:
        """A change that was made by hand."""
        version = record(self.connection, (sentence,), now_ms=self.now_ms, actor=self.actor)
        return ApplyResult(version, (sentence,), ())


def spec_of(workspace: Workspace) -> WorkspaceSpec:
    """A configuration as a wish for what is there already. Secrets are left out, and so kept."""
    names = {source.id: source.name for source in workspace.sources}
    return WorkspaceSpec(
        tuple(source_spec(source) for source in workspace.sources),
        tuple(destination_spec(destination, names) for destination in workspace.destinations),
    )


def source_spec(source: Source) -> SourceSpec:
    webhook = replace(source.webhook, secrets=()) if source.webhook else None
    return SourceSpec(
        source.name,
        enabled=source.enabled,
        kind=source.kind,
        trust=source.trust,
        limits=source.limits,
        webhook=webhook,
    )


def destination_spec(destination: Destination, source_names: Mapping[int, str]) -> DestinationSpec:
    hidden = entry_of(destination.type).secret_settings
    return DestinationSpec(
        destination.name,
        destination.type,
        tuple(sorted(source_names[id_] for id_ in destination.source_ids)),
        {name: value for name, value in destination.settings.items() if name not in hidden},
        destination.enabled,
        consent_categories=destination.consent_categories,
    )


def new_write_key() -> str:
    """128 random bits."""
    return random.token_hex(16)


# -- sources


def add_source(editor: Editor, wanted: SourceSpec) -> ApplyResult:
    """A new source, with a write key of its own unless one is given."""
    checked_name(wanted.name)
    spec = wanted if wanted.write_key else replace(wanted, write_key=new_write_key())
    return editor.apply(lambda present: replace(present, sources=(*present.sources, spec)))


def change_source(editor: Editor, name: str, change: Callable[[SourceSpec], SourceSpec]) -> ApplyResult:
    """Settings of a source, or whether it is enabled."""

    def changed(present: WorkspaceSpec) -> WorkspaceSpec:
        found(present.sources, name, "source")
        return replace(present, sources=tuple(change(s) if s.name == name else s for s in present.sources))

    return editor.apply(changed)


def rename_source(editor: Editor, name: str, new_name: str) -> ApplyResult:
    """Another name for the same source: its messages, books and write key stay its own."""
    workspace = editor.present()
    source = found(workspace.sources, name, "source")
    free_name(workspace.sources, name, new_name, "source")
    if source.webhook and UNREADABLE in source.webhook.secrets:
        raise UserError("its webhook secrets do not open with the present key; give them again first")
    stored.rename_source(editor.connection, name, new_name)
    stored.set_source_settings(editor.connection, editor.secrets, new_name, document_of(source), source.webhook)
    return editor.did(f"rename source {quoted(name)} to {quoted(new_name)}")


def rotate_write_key(editor: Editor, name: str, *, overlap_ms: int = OVERLAP_MS) -> ApplyResult:
    """A new write key. The one before it stays good for the overlap; one before that ends now."""
    found(editor.present().sources, name, "source")
    stored.rotate_write_key(editor.connection, name, new_write_key(), editor.now_ms + overlap_ms)
    hours = overlap_ms / 3_600_000
    until = f"; the one before it is good for {hours:g} hours more" if overlap_ms else "; the one before it ends now"
    return editor.did(f"make a new write key for source {quoted(name)}{until}")


def end_retired_key(editor: Editor, name: str) -> ApplyResult:
    """The write key before the present one is good no more."""
    found(editor.present().sources, name, "source")
    stored.retire_now(editor.connection, name)
    return editor.did(f"end the former write key of source {quoted(name)}")


# -- destinations


def add_destination(editor: Editor, wanted: DestinationSpec) -> ApplyResult:
    checked_name(wanted.name)
    return editor.apply(lambda present: replace(present, destinations=(*present.destinations, wanted)))


def change_destination(editor: Editor, name: str, change: Callable[[DestinationSpec], DestinationSpec]) -> ApplyResult:
    """Settings, connections, or whether it is enabled. A secret setting that is left out stays as it is."""

    def changed(present: WorkspaceSpec) -> WorkspaceSpec:
        found(present.destinations, name, "destination")
        return replace(present, destinations=tuple(change(d) if d.name == name else d for d in present.destinations))

    return editor.apply(changed)


def rename_destination(editor: Editor, name: str, new_name: str) -> ApplyResult:
    """Another name for the same destination: its records, books and quota stay its own."""
    workspace = editor.present()
    destination = found(workspace.destinations, name, "destination")
    free_name(workspace.destinations, name, new_name, "destination")
    if UNREADABLE in destination.settings.values():
        raise UserError("its secrets do not open with the present key; give them again first")
    stored.rename_destination(editor.connection, name, new_name)
    hidden = entry_of(destination.type).secret_settings
    stored.set_settings(editor.connection, editor.secrets, new_name, destination.settings, hidden)
    return editor.did(f"rename destination {quoted(name)} to {quoted(new_name)}")


# -- names


def found(among: tuple[Any, ...], name: str, kind: str) -> Any:
    """The one of this name. Raises UserError."""
    for each in among:
        if each.name == name:
            return each
    raise UserError(f"there is no {kind} {quoted(name)} any more")


def free_name(among: tuple[Any, ...], name: str, new_name: str, kind: str) -> None:
    """Raises UserError when a new name is none, or somebody has it."""
    checked_name(new_name)
    if new_name != name and any(each.name == new_name for each in among):
        raise UserError(f"there is a {kind} {quoted(new_name)} already")


def checked_name(name: str) -> None:
    """Raises UserError."""
    if not 1 <= len(name.strip()) <= MAX_NAME_LENGTH or name != name.strip():
        raise UserError(f"a name has 1 to {MAX_NAME_LENGTH} characters, and no blank around it")
    if not name.isprintable():
        raise UserError("a name has no line breaks or control characters")
