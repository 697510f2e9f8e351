"""The operations of the control API. They call what the pages call."""

import sqlite3
from dataclasses import replace
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gainsight_destination import letters
from gainsight_destination.access import admission, people, tokens
from gainsight_destination.access.acts import acts, record_act
from gainsight_destination.access.roles import Role
from gainsight_destination.console.check import check_now
from gainsight_destination.console.control.operations import Operation, openapi, page_of
from gainsight_destination.console.house import House, house_of
from gainsight_destination.console.problems import ProblemError, not_found
from gainsight_destination.console.routing import Page
from gainsight_destination.console.views.destinations import configured
from gainsight_destination.console.views.failures import grouped, listed, settled
from gainsight_destination.console.views.messages import story_of
from gainsight_destination.console.views.overview import status_of
from gainsight_destination.console.visitor import visitor_of
from gainsight_destination.errors import UserError
from gainsight_destination.workspace import edit, service
from gainsight_destination.workspace.file import read_document
from gainsight_destination.workspace.spec import WorkspaceSpec
from gainsight_destination.workspace.stored import read_sources
from gainsight_destination.workspace.versions import plain_document

MOST_SHOWN: Final = 500
LONGEST_OVERLAP_HOURS: Final = 2_160


class Who(msgspec.Struct, frozen=True, rename="camel"):
    """Who asks."""

    name: str
    role: str


class Changed(msgspec.Struct, frozen=True, rename="camel"):
    """What a change of the workspace did. Empty `changes`: all was so already."""

    version: int
    changes: list[str]
    warnings: list[str]


class WorkspaceDocument(msgspec.Struct, frozen=True, rename="camel"):
    """A workspace in the shape of workspace.yaml, as JSON. `${NAME}` references are not resolved here."""

    workspace: dict[str, Any]
    version: int | None = None
    """The version that this was made from; refused when there is a newer one by now."""


class NewKey(msgspec.Struct, frozen=True, rename="camel"):
    """How long the write key before the new one stays good."""

    overlap_hours: float = 24


class WriteKey(msgspec.Struct, frozen=True, rename="camel"):
    """The write key of a source."""

    source: str
    write_key: str
    former_good_until: int | None


class NewPerson(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody to let in."""

    email: str
    name: str
    role: Role


class Person(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody who may sign in. `password_path` opens once; it is given when it is made."""

    id: int
    email: str
    name: str
    role: Role
    enabled: bool
    has_password: bool
    password_path: str | None = None


class Standing(msgspec.Struct, frozen=True, rename="camel"):
    """What a person may do. `enabled` false shuts them out, and signs them out."""

    role: Role
    enabled: bool = True


class NewToken(msgspec.Struct, frozen=True, rename="camel"):
    """A token to make. Without `days` it is good until it is revoked."""

    name: str
    role: Role
    days: int | None = 90


class Token(msgspec.Struct, frozen=True, rename="camel"):
    """A token. `text` is given once, when it is made."""

    id: int
    name: str
    role: Role
    made_by: str
    expires_at: int | None
    used_at: int | None
    text: str | None = None


class What(msgspec.Struct, frozen=True, rename="camel"):
    """What to do with a dead letter: retry, retry-like, discard or discard-like."""

    do: str


class Correction(msgspec.Struct, frozen=True, rename="camel"):
    """Values by field for a refused record (null clears), and fields for which nothing is to be sent."""

    values: dict[str, Any] = {}
    unset: list[str] = []


class Done(msgspec.Struct, frozen=True, rename="camel"):
    """What was done, as the history tells it."""

    did: str


# -- looking


async def whoami(request: Request) -> Who:
    visitor = visitor_of(request)
    return Who(visitor.name, visitor.role.value)


async def status(request: Request) -> dict[str, Any]:
    return await status_of(house_of(request))


async def trace(request: Request) -> dict[str, Any]:
    story = await story_of(request, request.path_params["message_id"])
    if story is None:
        raise not_found("No message with this id is remembered")
    return story


async def history(request: Request) -> dict[str, Any]:
    found = await house_of(request).read(lambda connection: acts(connection, limit=MOST_SHOWN))
    return {
        "acts": [
            {"at": act.at_ms, "actor": act.actor, "sentences": list(act.sentences), "version": act.version}
            for act in found
        ]
    }


# -- the workspace


async def export(request: Request) -> dict[str, Any]:
    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        (version,) = connection.execute("SELECT version FROM workspace").fetchone()
        return {"version": version, "workspace": plain_document(connection)}

    return await house_of(request).read(read)


def wanted(document: WorkspaceDocument) -> WorkspaceSpec:
    """The configuration that a document states."""
    return read_document(document.workspace)


async def check_workspace(request: Request, document: WorkspaceDocument) -> Changed:
    house, spec = house_of(request), wanted(document)
    secrets = house.secrets()
    plan = await house.read(lambda connection: service.plan(connection, secrets, spec))
    (version,) = await house.read(lambda connection: connection.execute("SELECT version FROM workspace").fetchone())
    return Changed(version, list(plan.sentences), list(plan.warnings))


async def apply_workspace(request: Request, document: WorkspaceDocument) -> Changed:
    house, visitor, spec = house_of(request), visitor_of(request), wanted(document)

    def work(editor: edit.Editor) -> service.ApplyResult:
        editor.present()
        return service.apply_within(editor.connection, editor.secrets, spec, now_ms=editor.now_ms, actor=editor.actor)

    found = await house.edit(visitor.name, document.version, work)
    return Changed(found.version, list(found.changes), list(found.warnings))


async def write_key(request: Request) -> WriteKey:
    return await key_of(house_of(request), request.path_params["source"])


async def key_of(house: House, name: str) -> WriteKey:
    sources = await house.read(lambda connection: read_sources(connection, lambda _place, _sealed: ""))
    for source in sources:
        if source.name == name:
            return WriteKey(source.name, source.write_key, source.retired_key_until_ms)
    raise not_found("There is no such source")


async def rotate(request: Request, wish: NewKey) -> WriteKey:
    house, visitor, name = house_of(request), visitor_of(request), request.path_params["source"]
    if not 0 <= wish.overlap_hours <= LONGEST_OVERLAP_HOURS:
        raise UserError(f"overlapHours is from 0 to {LONGEST_OVERLAP_HOURS}")
    overlap_ms = round(wish.overlap_hours * 3_600_000)
    await house.edit(visitor.name, None, lambda e: edit.rotate_write_key(e, name, overlap_ms=overlap_ms))
    return await key_of(house, name)


async def set_enabled(request: Request, enabled: bool) -> Changed:
    house, visitor, name = house_of(request), visitor_of(request), request.path_params["destination"]
    found = await house.edit(
        visitor.name,
        None,
        lambda editor: edit.change_destination(editor, name, lambda spec: replace(spec, enabled=enabled)),
    )
    return Changed(found.version, list(found.changes), list(found.warnings))


async def enable(request: Request) -> Changed:
    return await set_enabled(request, True)


async def disable(request: Request) -> Changed:
    return await set_enabled(request, False)


async def check_destination(request: Request) -> dict[str, Any]:
    house, name = house_of(request), request.path_params["destination"]
    for destination in await configured(house):
        if destination.name == name:
            report, problem = await check_now(house, destination.id)
            if report is None:
                raise ProblemError(409, problem)
            findings = [finding._asdict() for finding in report.findings]
            return {"ok": report.ok, "connected": report.connected, "objects": report.objects, "findings": findings}
    raise not_found("There is no such destination")


# -- dead letters


async def dead_letters_listed(request: Request) -> dict[str, Any]:
    whole = visitor_of(request).sees_personal_data

    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        found, more = listed(connection, request.query_params.get("code", ""), whole_number(request, "before"), whole)
        return {"groups": grouped(connection, whole), "letters": found, "before": more}

    return await house_of(request).read(read)


def whole_number(request: Request, name: str) -> int | None:
    """A number of the query; None when it is none."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


async def settle_letter(request: Request, what: What) -> Done:
    house, visitor = house_of(request), visitor_of(request)
    return Done(await settled(house, visitor.name, request.path_params["letter"], what.do))


async def fix_letter(request: Request, fix: Correction) -> Done:
    house, visitor, letter_id = house_of(request), visitor_of(request), request.path_params["letter"]
    wanted = letters.Fix(fix.values, fix.unset)

    def write(connection: sqlite3.Connection) -> Done:
        letters.fix(connection, letter_id, wanted, house.now_ms())
        told = f"corrected {', '.join((*fix.values, *fix.unset))} of dead letter {letter_id} and retried it"
        record_act(connection, actor=visitor.name, what=told, now_ms=house.now_ms())
        return Done(told)

    return await house.write(write)


# -- people and tokens


async def list_people(request: Request) -> list[Person]:
    return [person_of(each) for each in await house_of(request).read(people.everybody)]


def person_of(person: people.Person, path: str | None = None) -> Person:
    return Person(person.id, person.email, person.name, person.role, person.enabled, person.has_password, path)


async def add_person(request: Request, wish: NewPerson) -> Person:
    house, visitor = house_of(request), visitor_of(request)
    person, word = await house.write(
        lambda connection: admission.let_in(
            connection,
            actor=visitor.name,
            email=wish.email,
            name=wish.name,
            role=wish.role,
            now_ms=house.now_ms(),
        )
    )
    return person_of(person, f"/password/{word}")


async def change_person(request: Request, wish: Standing) -> Person:
    house, visitor, person_id = house_of(request), visitor_of(request), request.path_params["person"]
    return person_of(
        await house.write(
            lambda connection: admission.change(
                connection,
                person_id,
                actor=visitor.name,
                role=wish.role,
                enabled=wish.enabled,
                now_ms=house.now_ms(),
            )
        )
    )


async def make_password_link(request: Request) -> Person:
    house, visitor, person_id = house_of(request), visitor_of(request), request.path_params["person"]
    person, word = await house.write(
        lambda connection: admission.new_link(connection, person_id, actor=visitor.name, now_ms=house.now_ms())
    )
    return person_of(person, f"/password/{word}")


async def list_tokens(request: Request) -> list[Token]:
    return [token_of(each) for each in await house_of(request).read(tokens.all_tokens)]


def token_of(token: tokens.Token, text: str | None = None) -> Token:
    return Token(token.id, token.name, token.role, token.made_by, token.expires_at_ms, token.used_at_ms, text)


async def make_token(request: Request, wish: NewToken) -> Token:
    house, visitor = house_of(request), visitor_of(request)
    now_ms = house.now_ms()
    if wish.days is not None and not 1 <= wish.days <= 3_650:
        raise UserError("days is from 1 to 3,650")

    def write(connection: sqlite3.Connection) -> Token:
        made, text = admission.make_token(
            connection,
            actor=visitor.name,
            name=wish.name,
            role=wish.role,
            expires_at_ms=None if wish.days is None else now_ms + wish.days * 86_400_000,
            now_ms=now_ms,
        )
        return token_of(made, text)

    return await house.write(write)


async def revoke_token(request: Request) -> None:
    house, visitor, token_id = house_of(request), visitor_of(request), request.path_params["token"]

    name = await house.write(
        lambda connection: admission.revoke_token(connection, token_id, actor=visitor.name, now_ms=house.now_ms())
    )
    if name is None:
        raise not_found("There is no such token")


VIEWER, EDITOR, ADMIN = Role.VIEWER, Role.EDITOR, Role.ADMIN

OPERATIONS: Final = (
    Operation("GET", "/whoami", "whoami", "Who asks, and what they may do.", VIEWER, whoami, gives=Who),
    Operation("GET", "/status", "status", "What `status --json` prints.", VIEWER, status),
    Operation("GET", "/messages/{message_id}", "trace", "What `trace --json` prints.", VIEWER, trace),
    Operation("GET", "/history", "history", "Who did what, newest first.", VIEWER, history),
    Operation("GET", "/workspace", "exportWorkspace", "The configuration, without secrets.", VIEWER, export),
    Operation(
        "POST",
        "/workspace/check",
        "checkWorkspace",
        "What applying a workspace would change.",
        EDITOR,
        check_workspace,
        takes=WorkspaceDocument,
        gives=Changed,
    ),
    Operation(
        "PUT",
        "/workspace",
        "applyWorkspace",
        "Make the configuration equal to a workspace, wholly or not at all.",
        EDITOR,
        apply_workspace,
        takes=WorkspaceDocument,
        gives=Changed,
    ),
    Operation(
        "GET",
        "/sources/{source}/write-key",
        "writeKey",
        "The write key of a source.",
        EDITOR,
        write_key,
        gives=WriteKey,
    ),
    Operation(
        "POST",
        "/sources/{source}/write-key",
        "rotateWriteKey",
        "Make a new write key; the present one stays good for a while.",
        EDITOR,
        rotate,
        takes=NewKey,
        gives=WriteKey,
    ),
    Operation(
        "POST",
        "/destinations/{destination}/enable",
        "enableDestination",
        "Deliver to it.",
        EDITOR,
        enable,
        gives=Changed,
    ),
    Operation(
        "POST",
        "/destinations/{destination}/disable",
        "disableDestination",
        "Deliver nothing to it.",
        EDITOR,
        disable,
        gives=Changed,
    ),
    Operation(
        "POST",
        "/destinations/{destination}/check",
        "checkDestination",
        "What `check --json` prints; makes a call for each object.",
        EDITOR,
        check_destination,
    ),
    Operation(
        "GET",
        "/dead-letters",
        "deadLetters",
        "Refused records, by reason and newest first.",
        VIEWER,
        dead_letters_listed,
        query=("code", "before"),
    ),
    Operation(
        "POST",
        "/dead-letters/{letter:int}/fix",
        "fixDeadLetter",
        "Correct fields of a refused record and retry it.",
        EDITOR,
        fix_letter,
        takes=Correction,
        gives=Done,
    ),
    Operation(
        "POST",
        "/dead-letters/{letter:int}",
        "settleDeadLetter",
        "Retry one, retry all like it, or give one up.",
        EDITOR,
        settle_letter,
        takes=What,
        gives=Done,
    ),
    Operation("GET", "/people", "people", "Who may sign in.", ADMIN, list_people, gives=list[Person]),
    Operation(
        "POST", "/people", "addPerson", "Let somebody in.", ADMIN, add_person, takes=NewPerson, gives=Person, status=201
    ),
    Operation(
        "PUT",
        "/people/{person:int}",
        "changePerson",
        "Give somebody another role, shut them out, or let them in again.",
        ADMIN,
        change_person,
        takes=Standing,
        gives=Person,
    ),
    Operation(
        "POST",
        "/people/{person:int}/password-link",
        "makePasswordLink",
        "Make a link by which somebody chooses a new password; ends those before it.",
        ADMIN,
        make_password_link,
        gives=Person,
        status=201,
    ),
    Operation(
        "GET", "/tokens", "tokens", "The tokens, without what opens anything.", ADMIN, list_tokens, gives=list[Token]
    ),
    Operation(
        "POST", "/tokens", "makeToken", "Make a token.", ADMIN, make_token, takes=NewToken, gives=Token, status=201
    ),
    Operation(
        "DELETE", "/tokens/{token:int}", "revokeToken", "End a token.", ADMIN, revoke_token, gives=None, status=204
    ),
)


async def document(request: Request) -> Response:
    """The OpenAPI document."""
    return JSONResponse(openapi(OPERATIONS))


PAGES: Final = (*(page_of(operation) for operation in OPERATIONS), Page("/api/v1/openapi.json", document))
