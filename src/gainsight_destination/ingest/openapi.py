"""The OpenAPI document of the public port, for people, gateways and generators of clients.

It describes what senders should write, which is less than what is taken: a message with something odd in it is answered
with 200 too, and what becomes of it is decided later.
"""

from functools import cache
from typing import Any, Final

from gainsight_destination import __version__
from gainsight_destination.ingest import limits
from gainsight_destination.ingest.answers import Answer, RefusedRequestError, json_answer
from gainsight_destination.ingest.requests import Request

Json = dict[str, Any]

TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
INTRODUCTION: Final = """\
What Segment's SDKs speak. Success is exactly 200 with `{"success":true}` and means that the messages are on disk. 400
means that repeating does not help; 429 and 503 say when to try again. The write key is the Basic user name or
`writeKey` in the body. Any `Content-Type` is read as JSON; `Content-Encoding: gzip` is understood."""

TEXT: Final[Json] = {"type": "string"}
ID: Final[Json] = {"type": ["string", "number", "null"], "description": "Numbers become decimal text."}
DATE: Final[Json] = {
    "type": ["string", "number", "null"],
    "description": "ISO 8601, UTC unless it says otherwise; or an epoch number in seconds or milliseconds.",
    "examples": ["2026-11-23T11:16:44.724Z"],
}
OBJECT: Final[Json] = {"type": ["object", "null"]}

SHARED: Final[Json] = {
    "userId": ID,
    "anonymousId": ID,
    "messageId": {**ID, "description": "A message with an id that came before is dropped. Made up if missing."},
    "timestamp": DATE,
    "sentAt": {**DATE, "description": "The client's clock when it sent this. Corrects `timestamp`."},
    "context": OBJECT,
    "integrations": OBJECT,
    "writeKey": TEXT,
}
OWN: Final[dict[str, Json]] = {
    "identify": {"traits": OBJECT},
    "track": {"event": TEXT, "properties": OBJECT},
    "page": {"name": TEXT, "category": TEXT, "properties": OBJECT},
    "screen": {"name": TEXT, "category": TEXT, "properties": OBJECT},
    "group": {"groupId": ID, "traits": OBJECT},
    "alias": {"previousId": ID},
}
NEEDED: Final = {"track": ["event"], "group": ["groupId"], "alias": ["userId", "previousId"]}

BATCH: Final[Json] = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {
            "type": "array",
            "items": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in TYPES]},
            "description": "Of more than 2,500 messages the first 2,500 count. Each says its `type`.",
        },
        **{name: SHARED[name] for name in ("sentAt", "context", "integrations", "writeKey")},
    },
}
SUCCESS: Final[Json] = {"type": "object", "properties": {"success": {"const": True}}, "required": ["success"]}
FAILURE: Final[Json] = {
    "type": "object",
    "properties": {"success": {"const": False}, "error": TEXT, "code": TEXT, "message": TEXT},
    "required": ["success", "error", "code", "message"],
    "additionalProperties": False,
}
HEALTH: Final[Json] = {
    "type": "object",
    "properties": {
        "status": {"enum": ["ok", "unwell"]},
        "reasons": {"type": "array", "items": TEXT, "description": "What is wrong, in plain words."},
    },
    "required": ["status"],
}
WAIT: Final[Json] = {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "Seconds to wait."}

WRITE_KEY_IN_PATH: Final[Json] = {"name": "writeKey", "in": "path", "required": True, "schema": TEXT}
QUERY: Final[list[Json]] = [
    {
        "name": "data",
        "in": "query",
        "schema": TEXT,
        "description": "The JSON in base64: standard or URL-safe, padded or not.",
    },
    {
        "name": "callback",
        "in": "query",
        "schema": {"type": "string", "pattern": r"^[A-Za-z_$][A-Za-z0-9_$]*(\.[A-Za-z_$][A-Za-z0-9_$]*)*$"},
        "description": "A function of the page, which the answer calls (JSONP).",
    },
]


def message(name: str) -> Json:
    """The schema of a message of this type."""
    return {
        "type": "object",
        "description": "`userId` or `anonymousId` is needed." if name != "alias" else "`previousId` becomes `userId`.",
        "properties": {"type": {"const": name}, **SHARED, **OWN[name]},
        "required": NEEDED.get(name, []),
    }


def content(schema: str, media_type: str = "application/json") -> Json:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def responses(*names: str, **others: Json) -> Json:
    """Named responses by status, beside others that are written out."""
    statuses = {"Taken": "200", "Refused": "400", "NotFound": "404", "TooMuch": "429", "Unavailable": "503"}
    return {statuses[name]: {"$ref": f"#/components/responses/{name}"} for name in names} | {
        name.removeprefix("status"): value for name, value in others.items()
    }


def operation(summary: str, answers: Json, **more: Any) -> Json:
    return {"summary": summary, "responses": answers, **more}


def posted(summary: str, schema: str, **more: Any) -> Json:
    body = {"required": True, "content": content(schema)}
    return operation(summary, responses("Taken", "Refused", "TooMuch", "Unavailable"), requestBody=body, **more)


def in_query(summary: str) -> Json:
    script = {"application/javascript; charset=utf-8": {"schema": TEXT}}
    answers = {
        status: {"description": description, "content": content(schema) | script}
        for status, description, schema in (
            ("200", "Stored.", "Success"),
            ("400", "Wrong, and repeating does not help. Nothing was stored.", "Failure"),
            ("429", "More than is taken now; try again later. Nothing was stored.", "Failure"),
            ("503", "Try again later. Nothing was stored.", "Failure"),
        )
    }
    return operation(f"{summary} in the query", answers, parameters=QUERY)


def taking(summary: str, schema: str) -> Json:
    """A path that takes bodies by POST, and by PUT alike."""
    return {"post": posted(summary, schema), "put": posted(summary, schema)}


def message_paths() -> Json:
    paths: Json = {}
    image = {"200": {"description": "Always an image of one point.", "content": {"image/gif": {"schema": TEXT}}}}
    for name in TYPES:
        paths[f"/v1/{name}"] = taking(f"One {name}", name)
        paths[f"/v1/{name[0]}"] = taking(f"One {name}", name) | {"get": in_query(f"One {name}")}
        paths[f"/v1/pixel/{name}"] = {
            "get": operation(
                f"One {name} in the query of an image, as `data` or spelled in dotted names",
                image,
                parameters=QUERY[:1],
            )
        }
    for name in ("batch", "import"):
        paths[f"/v1/{name}"] = taking("Many messages", "Batch")
    paths["/v1/b"] = taking("Many messages", "Batch") | {"get": in_query("Many messages")}
    key = [{"name": "writeKey", "in": "query", "schema": TEXT}]
    paths["/beacon/v1/batch"] = {"post": posted("Many messages, from navigator.sendBeacon", "Batch", parameters=key)}
    return paths


def other_paths() -> Json:
    webhook = responses("Taken", "Refused", "TooMuch", "Unavailable")
    settings = {"description": "The document.", "content": content("Object")}
    well, unwell = (
        {"description": text, "content": content("Health")} for text in ("All is well.", "Something is wrong.")
    )
    return {
        "/v1/webhook/{writeKey}": {
            "post": operation(
                "Messages that Segment, RudderStack, Jitsu or another pipeline sends on, signed",
                webhook,
                parameters=[WRITE_KEY_IN_PATH],
                requestBody={"required": True, "content": {"application/json": {"schema": {}}}},
                security=[],
            )
        },
        "/v1/m": {
            "post": operation("What SDKs measure about themselves; thrown away", responses("Taken"), security=[])
        },
        "/v1/projects/{writeKey}/settings": {
            "get": operation(
                "What browser and mobile SDKs fetch at their start",
                responses("Refused", "NotFound", "Unavailable", status200=settings),
                parameters=[WRITE_KEY_IN_PATH],
                security=[],
            )
        },
        "/health": {"get": operation("How the server is", {"200": well, "503": unwell}, security=[])},
        "/openapi.json": {
            "get": operation(
                "This document", {"200": {"description": "OpenAPI 3.1.", "content": content("Object")}}, security=[]
            )
        },
    }


@cache
def document() -> Json:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gainsight-destination: the public port",
            "version": __version__,
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"writeKey": []}, {}],
        "paths": message_paths() | other_paths(),
        "components": {
            "securitySchemes": {
                "writeKey": {"type": "http", "scheme": "basic", "description": "No password is needed."}
            },
            "schemas": {name: message(name) for name in TYPES}
            | {"Batch": BATCH, "Success": SUCCESS, "Failure": FAILURE, "Health": HEALTH, "Object": {"type": "object"}},
            "responses": {
                "Taken": {"description": "Stored, or thrown away for good.", "content": content("Success")},
                "Refused": {
                    "description": "Wrong, and repeating does not help: no write key, no JSON, or more than "
                    f"{limits.SINGLE_BYTES:,} bytes ({limits.BATCH_BYTES:,} in a batch). Nothing was stored.",
                    "content": content("Failure"),
                },
                "NotFound": {"description": "There is no such thing.", "content": content("Failure")},
                "TooMuch": {
                    "description": "More than is taken now; try again later. Nothing was stored.",
                    "content": content("Failure"),
                    "headers": {"Retry-After": WAIT, "X-RateLimit-Reset": WAIT},
                },
                "Unavailable": {
                    "description": "Try again later. Nothing was stored.",
                    "content": content("Failure"),
                    "headers": {"Retry-After": WAIT, "X-RateLimit-Reset": WAIT},
                },
            },
        },
    }


@cache
def answer_with_document() -> Answer:
    return json_answer(200, document())


async def answer(request: Request) -> Answer:
    """Answers `/openapi.json`."""
    if request.method not in ("GET", "HEAD"):
        raise RefusedRequestError("The document is read with GET")
    return answer_with_document()
