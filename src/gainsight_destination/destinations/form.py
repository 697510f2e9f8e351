"""How the settings of a destination are asked for: what the console shows, and how what is typed becomes a value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gainsight_destination.errors import InvalidSettingsError


class Kind(StrEnum):
    """What a setting is in a form."""

    SECRET = "secret"  # noqa: S105 - the name of a kind
    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"
    LINES = "lines"
    """A list of texts, one a line."""
    PAIRS = "pairs"
    """A mapping, `name = value` a line."""
    JSON = "json"
    OPTIONAL = "optional"
    """A text, or switched off (null)."""


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting as it is asked for."""

    name: str
    label: str
    help: str
    kind: Kind = Kind.TEXT
    default: Any = None
    choices: tuple[str, ...] = ()
    step: str = "connection"
    """On which page of connecting it is asked for: connection, events, mapping, or advanced."""
    required: bool = False


STEPS: Final = ("connection", "events", "mapping", "advanced")
OFF: Final = "off"


def shown(field: SettingField, settings: Mapping[str, Any]) -> str:
    """What stands in the field; nothing for what has its default, and never a secret."""
    if field.kind is Kind.SECRET or field.name not in settings:
        return ""
    value = settings[field.name]
    match field.kind:
        case Kind.FLAG:
            return "yes" if value else ""
        case Kind.LINES:
            return "\n".join(line(item) for item in value)
        case Kind.PAIRS:
            return "\n".join(f"{name} = {target}" for name, target in value.items())
        case Kind.JSON:
            return json.dumps(value, indent=2, ensure_ascii=False)
        case Kind.OPTIONAL:
            return OFF if value is None else str(value)
    return str(value)


def line(item: Any) -> str:
    """An event name; rows of the original integration hold it under `value`, or `key`."""
    if isinstance(item, Mapping):
        return str(item.get("value") or item.get("key") or "")
    return str(item)


def read(field: SettingField, typed: str) -> Any:
    """The value that was typed. An empty field is None: left at its default. Raises InvalidSettingsError."""
    text = typed.strip()
    if field.kind is Kind.FLAG:
        return bool(text)
    if not text:
        return None
    match field.kind:
        case Kind.NUMBER:
            return number(field, text)
        case Kind.LINES:
            return [each.strip() for each in text.splitlines() if each.strip()]
        case Kind.PAIRS:
            return pairs(field, text.splitlines())
        case Kind.JSON:
            try:
                return json.loads(text)
            except ValueError as error:
                raise InvalidSettingsError([f"{field.name} is not JSON: {error}"]) from None
    return text


def number(field: SettingField, text: str) -> float:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise InvalidSettingsError([f"{field.name} must be a number"]) from None
    return int(value) if value.is_integer() else value


def pairs(field: SettingField, lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in lines:
        name, equals, target = (part.strip() for part in each.partition("="))
        if not each.strip():
            continue
        if not (equals and name and target):
            raise InvalidSettingsError([f"{field.name}: write one `name = field` a line"])
        found[name] = target
    return found


def changed(fields: Sequence[SettingField], settings: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """The settings with what was typed into some of the fields. An empty secret keeps the stored one.

    Raises InvalidSettingsError with every field that cannot be read.
    """
    found, problems = dict(settings), list[str]()
    for field in fields:
        if field.name not in typed:
            continue
        if field.kind is Kind.OPTIONAL and typed[field.name].strip() == OFF:
            found[field.name] = None
            continue
        try:
            value = read(field, typed[field.name])
        except InvalidSettingsError as error:
            problems += error.problems
            continue
        if value is None or value == field.default:
            if field.kind is not Kind.SECRET:
                found.pop(field.name, None)
        else:
            found[field.name] = value
    if problems:
        raise InvalidSettingsError(problems)
    return found
