"""Reads a workspace file: YAML with `${NAME}` references to the environment. See docs/workspace.md for its shape.

Reading goes on after a mistake, so that all of them are told at once, each with its path and line. What a value is
stays out of the messages, since it may be a secret.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import yaml

from gainsight_destination.destinations.read_settings import (
    MISSING,
    SettingsReader,
    WrongValueError,
    boolean,
    described,
    list_of,
    one_of,
    text,
    whole_number,
)
from gainsight_destination.errors import UserError
from gainsight_destination.workspace.model import (
    DEFAULT_TOLERANCE_SECONDS,
    Sender,
    SourceKind,
    SourceLimits,
    Trust,
    UnsignedTail,
    Webhook,
)
from gainsight_destination.workspace.source_settings import MAX_SECRETS
from gainsight_destination.workspace.spec import DestinationSpec, SourceSpec, WorkspaceSpec

Path = tuple[str | int, ...]
T = TypeVar("T")
D = TypeVar("D")
E = TypeVar("E", bound=StrEnum)

REFERENCE = re.compile(r"\$(\$?)\{([^}]*)\}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_VALUES = 100_000
MAX_NAME_LENGTH = 100
MAX_WRITE_KEY_LENGTH = 200
MAX_SECRET_LENGTH = 500
MAX_LIMIT = 1_000_000_000
MAX_TOLERANCE_SECONDS = 86_400
WRITE_KEY = re.compile(r"[!-9;-~]+")
"""Printable ASCII without the colon, which ends the user name of a Basic header."""
SECRET = re.compile(r"[!-~]+")
"""Printable ASCII, which any header carries."""


class _Loader(yaml.SafeLoader):
    """YAML without dates: a value that looks like one is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_spec(content: str, *, environ: Mapping[str, str]) -> WorkspaceSpec:
    """The configuration that a workspace file states, and everything wrong with it. Raises UserError if not YAML."""
    try:
        node = yaml.compose(content, Loader=_Loader)
        values = _Values(environ)
        return _Shape(values).workspace(None if node is None else values.of(node))
    except RecursionError:
        raise UserError("the workspace file is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"the workspace file is not valid YAML{line}: {error.problem}") from None
    except yaml.YAMLError:
        raise UserError("the workspace file is not text that YAML allows; save it as UTF-8") from None


def read_document(document: Any) -> WorkspaceSpec:
    """The same of a workspace that came as JSON: values as they are, without references. Raises UserError."""
    return _Shape(_Given()).workspace(document)


class _Given:
    """Plain values that need no reading, in place of `_Values`."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unresolved: list[Path] = []

    def place(self, path: Path) -> str:
        return written_path(path)


class _Values:
    """Turns YAML nodes into plain values, and remembers where each stood."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self.unresolved: list[Path] = []
        self._environ = environ
        self._lines: dict[Path, int] = {}
        self._loader = _Loader("")
        self._open: list[yaml.Node] = []
        self._count = 0

    def of(self, node: yaml.Node, path: Path = ()) -> Any:
        self._lines[path] = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_VALUES:
            raise UserError(f"the workspace file has more than {MAX_VALUES:,} values")
        if any(node is outer for outer in self._open):
            raise UserError(f"{self.place(path)}: this contains itself; write it out instead of *alias")
        self._open.append(node)
        try:
            return self._plain(node, path)
        finally:
            self._open.pop()

    def place(self, path: Path) -> str:
        """`destinations[0].settings (line 9)`."""
        return f"{written_path(path)} (line {self._lines.get(path, 1)})"

    def _plain(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
                if key in found:
                    line = key_node.start_mark.line + 1
                    self.problems.append(f"{self.place(path)}: {key} is there twice, again in line {line}; keep one")
                found[key] = self.of(value_node, (*path, key))
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self.of(inner, (*path, place)) for place, inner in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.problems.append(f"{self.place(path)}: this value cannot be read; put it in quotes")
            return ""
        return self._expanded(value, path) if isinstance(value, str) else value

    def _expanded(self, value: str, path: Path) -> str:
        """The text with its references replaced; `$${` stands for a literal `${`."""

        def replacement(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return match[0][1:]
            if not VARIABLE_NAME.fullmatch(name):
                self.problems.append(
                    f"{self.place(path)}: ${{...}} must name an environment variable; write $${{ for ${{"
                )
            elif name not in self._environ:
                self.problems.append(f"{self.place(path)}: the environment variable {name} is not set")
            elif not self._environ[name].strip():
                self.problems.append(f"{self.place(path)}: the environment variable {name} is empty")
            else:
                return self._environ[name]
            self.unresolved.append(path)
            return match[0]

        return REFERENCE.sub(replacement, value)


def written_path(path: Path) -> str:
    """`destinations[0].settings`."""
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return written or "the file"


class _Shape:
    """Reads sources and destinations out of plain values."""

    def __init__(self, values: _Values | _Given) -> None:
        self._values = values
        self._problems = values.problems

    def workspace(self, raw: Any) -> WorkspaceSpec:
        if raw is None:
            raise UserError("the workspace file is empty; it needs `sources:` and `destinations:`, which may be []")
        if not isinstance(raw, dict):
            raise UserError("the workspace file must be an object with `sources:` and `destinations:`")
        reader = SettingsReader(raw, kind="key")
        source_rows = reader.take("sources", rows_of, ())
        destination_rows = reader.take("destinations", rows_of, ())
        self._tell((), reader)
        sources = [self._source(row, ("sources", place)) for place, row in enumerate(source_rows)]
        destinations = [self._destination(row, ("destinations", at)) for at, row in enumerate(destination_rows)]
        return WorkspaceSpec(
            tuple(source for source in sources if source),
            tuple(destination for destination in destinations if destination),
            tuple(self._problems),
        )

    def _source(self, raw: Any, path: Path) -> SourceSpec | None:
        known = len(self._problems)
        reader = self._reader(raw, path)
        if reader is None:
            return None
        name = reader.take("name", name_text, MISSING)
        unresolved = (*path, "writeKey") in self._values.unresolved
        write_key = reader.take("writeKey", text if unresolved else write_key_text, None)
        if write_key is None and "writeKey" in raw:
            write_key = ""  # wrong, which is a problem already; not left out
        enabled = reader.take("enabled", boolean, True)
        kind = self._take(reader, path, "kind", word_of(SourceKind), SourceKind.SERVER)
        trust = self._take(reader, path, "trust", word_of(Trust), Trust.FULL)
        limits = self._limits(reader.take("limits", settings_object, {}), (*path, "limits"))
        webhook = self._webhook(reader, path)
        self._tell(path, reader)
        complete = len(self._problems) == known and not self._broken(path)
        place = self._values.place(path)
        if not isinstance(name, str):
            return None
        return SourceSpec(name, write_key, enabled, place, kind, trust, limits, webhook, complete)

    def _limits(self, raw: Mapping[str, Any], path: Path) -> SourceLimits:
        reader = SettingsReader(raw, kind="key")
        limit = whole_number(1, MAX_LIMIT)
        per_second = self._take(reader, path, "messagesPerSecond", limit, None)
        per_day = self._take(reader, path, "megabytesPerDay", limit, None)
        self._tell(path, reader)
        return SourceLimits(per_second, per_day)

    def _webhook(self, outer: SettingsReader, outer_path: Path) -> Webhook | None:
        raw = outer.take("webhook", settings_object, None)
        if not raw:
            return None
        path = (*outer_path, "webhook")
        reader = SettingsReader(raw, kind="key")
        sender = self._take(reader, path, "sender", word_of(Sender), MISSING)
        secrets = self._take(reader, path, "secrets", secret_texts, ())
        tail = self._take(reader, path, "unsignedTail", word_of(UnsignedTail), UnsignedTail.REFUSE)
        tolerance = self._take(
            reader, path, "toleranceSeconds", whole_number(1, MAX_TOLERANCE_SECONDS), DEFAULT_TOLERANCE_SECONDS
        )
        if "unsignedTail" in raw and sender is not Sender.SEGMENT:
            reader.refuse("unsignedTail is for sender segment only; take it out")
        if "toleranceSeconds" in raw and sender is not Sender.STANDARD:
            reader.refuse("toleranceSeconds is for sender standard only; take it out")
        self._tell(path, reader)
        return Webhook(sender, secrets, tail, tolerance) if isinstance(sender, Sender) else None

    def _take(self, reader: SettingsReader, path: Path, name: str, read: Callable[[Any], T], default: D) -> T | D:
        """The value, or the default when a reference in it was not resolved, which is a problem already."""
        value = reader.take(name, (lambda _raw: None) if self._broken((*path, name)) else read, default)
        return default if value is None else value

    def _broken(self, path: Path) -> bool:
        """Whether a reference to the environment in there was not resolved."""
        return any(broken[: len(path)] == path for broken in self._values.unresolved)

    def _destination(self, raw: Any, path: Path) -> DestinationSpec | None:
        reader = self._reader(raw, path)
        if reader is None:
            return None
        name = reader.take("name", name_text, MISSING)
        type_ = reader.take("type", text, MISSING)
        sources = reader.take("sources", names_of_sources, ())
        settings = reader.take("settings", settings_object, {})
        enabled = reader.take("enabled", boolean, True)
        consent = self._take(reader, path, "consentCategories", category_names, ())
        self._tell(path, reader)
        if not isinstance(name, str) or not isinstance(type_, str):
            return None
        complete, place = not self._broken(path), self._values.place(path)
        return DestinationSpec(name, type_, sources, settings, enabled, complete, place, consent)

    def _reader(self, raw: Any, path: Path) -> SettingsReader | None:
        if isinstance(raw, dict):
            return SettingsReader(raw, kind="key")
        self._problems.append(f"{self._values.place(path)}: must be an object; {described(raw)}")
        return None

    def _tell(self, path: Path, reader: SettingsReader) -> None:
        self._problems.extend(f"{self._values.place(path)}: {problem}" for problem in reader.problems())


def rows_of(value: Any) -> Sequence[Any]:
    """A list; an empty value counts as an empty list, as `sources:` alone on a line is."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise WrongValueError(f"must be a list; {described(value)}")
    return value


def names_of_sources(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(list_of(text)(rows_of(value))))


def category_names(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(list_of(name_text)(rows_of(value))))


def word_of(words: type[E]) -> Callable[[Any], E]:
    """One of the words of an enumeration."""
    read = one_of(*words)
    return lambda value: words(read(value))


def secret_texts(value: Any) -> tuple[str, ...]:
    """The secrets of a webhook. None of them is repeated in a message."""
    secrets = list_of(text)(value)
    if not 1 <= len(secrets) <= MAX_SECRETS:
        raise WrongValueError("must be a list of 1 secret, or of 2 while one replaces the other")
    if not all(SECRET.fullmatch(secret) and len(secret) <= MAX_SECRET_LENGTH for secret in secrets):
        raise WrongValueError(f"must be at most {MAX_SECRET_LENGTH} ASCII characters each, without spaces")
    return secrets


def settings_object(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongValueError(f"must be an object; {described(value)}")
    return value


def name_text(value: Any) -> str:
    """The name of a source or destination: one line that people can read and type."""
    name = text(value)
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise WrongValueError(f"must be one line of at most {MAX_NAME_LENGTH} characters")
    return name


def write_key_text(value: Any) -> str:
    key = text(value)
    if len(key) > MAX_WRITE_KEY_LENGTH or not WRITE_KEY.fullmatch(key):
        raise WrongValueError(
            f"must be at most {MAX_WRITE_KEY_LENGTH} ASCII characters without spaces and colons; "
            "make one with: openssl rand -hex 16"
        )
    if key.startswith("$"):
        raise WrongValueError("begins with $; a reference to the environment has braces: ${NAME}")
    return key
