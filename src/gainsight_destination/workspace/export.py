"""Writes the configuration as a workspace file that can be applied again.

Write keys and secrets become `${NAME}` references to the environment, so the file may be shown and kept in git.
"""

import re
import sqlite3
from collections.abc import Mapping
from typing import Any

import yaml

from gainsight_destination.workspace.model import Destination, Source
from gainsight_destination.workspace.source_settings import document_of
from gainsight_destination.workspace.stored import read_workspace

SECRET: Any = object()
"""Stands for every secret: an export never decrypts one."""


def export_document(connection: sqlite3.Connection) -> dict[str, Any]:
    """The configuration in the shape of a workspace file."""
    workspace = read_workspace(connection, lambda _place, _stored: SECRET)
    variables = _Variables()
    names = {source.id: source.name for source in workspace.sources}
    return {
        "sources": [source_row(source, variables) for source in workspace.sources],
        "destinations": [destination_row(destination, names, variables) for destination in workspace.destinations],
    }


def export_yaml(document: Mapping[str, Any]) -> str:
    """The document as YAML, beginning with the environment variables it needs."""
    needed = sorted(set(re.findall(r"(?<!\$)\$\{(\w+)\}", repr(document))))
    head = "# A gainsight-destination workspace. Apply it with: gainsight-destination workspace apply -f FILE\n"
    if needed:
        head += f"# Set in the environment first: {', '.join(needed)}\n"
    return head + yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=1_000)


def source_row(source: Source, variables: "_Variables") -> dict[str, Any]:
    row: dict[str, Any] = {"name": escaped(source.name), "writeKey": variables.reference(source.name, "writeKey")}
    if not source.enabled:
        row["enabled"] = False
    row |= document_of(source)
    if source.webhook:
        row["webhook"]["secrets"] = [variables.reference(source.name, "webhookSecret") for _ in source.webhook.secrets]
    return row


def destination_row(destination: Destination, names: Mapping[int, str], variables: "_Variables") -> dict[str, Any]:
    row: dict[str, Any] = {"name": escaped(destination.name), "type": destination.type}
    if not destination.enabled:
        row["enabled"] = False
    row["sources"] = sorted(escaped(names[id_]) for id_ in destination.source_ids)
    if destination.consent_categories:
        row["consentCategories"] = escaped(list(destination.consent_categories))
    row["settings"] = {
        setting: variables.reference(destination.name, setting) if value is SECRET else escaped(value)
        for setting, value in destination.settings.items()
    }
    return row


def escaped(value: Any) -> Any:
    """The value with every `${` in its texts written so that it is read back as it is."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escaped(inner) for inner in value]
    if isinstance(value, dict):
        return {name: escaped(inner) for name, inner in value.items()}
    return value


class _Variables:
    """Names environment variables after what they hold: accessKey of "gainsight" becomes GAINSIGHT_ACCESS_KEY."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def reference(self, owner: str, setting: str) -> str:
        words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", f"{owner} {setting}")
        wanted = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()
        if wanted[0].isdigit():
            wanted = f"_{wanted}"
        name, number = wanted, 1
        while name in self._given:
            number += 1
            name = f"{wanted}_{number}"
        self._given.add(name)
        return f"${{{name}}}"
