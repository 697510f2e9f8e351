"""The control API under `/_sandbox/`: reset, look inside, and change what a rehearsal needs. It asks for no key.

It is meant for loopback. A request that a web page of another origin sends is refused, so that a page in the same
person's browser cannot reach it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.sandbox import bulk, clickstream, events_framework, oauth, schema_control
from gainsight_destination.sandbox.answers import RefusedError
from gainsight_destination.sandbox.calls import calls_after
from gainsight_destination.sandbox.dates import readable
from gainsight_destination.sandbox.faults import read_faults, set_faults, show_faults
from gainsight_destination.sandbox.quota import WINDOW_MS, ledger
from gainsight_destination.sandbox.rows import rows_of
from gainsight_destination.sandbox.sandbox import Sandbox
from gainsight_destination.sandbox.schema import Object, all_objects, get_object
from gainsight_destination.sandbox.seed import add_companies
from gainsight_destination.sandbox.switches import load_switches, set_switches
from gainsight_destination.sandbox.tenant import Tenant

T = TypeVar("T")
Control = Callable[[Request], Awaitable[Any]]


def routes(sandbox: Sandbox) -> list[Route]:
    """The routes of the control API for one tenant."""
    control = ControlApi(sandbox)
    table: list[tuple[str, str, Control]] = [
        ("POST", "reset", control.reset),
        ("GET", "state", control.state),
        ("POST", "companies", control.add_companies),
        ("GET", "calls", control.calls),
        ("GET", "quota", control.quota),
        ("GET", "faults", control.faults),
        ("PUT", "faults", control.put_faults),
        ("GET", "switches", control.switches),
        ("PUT", "switches", control.put_switches),
        ("GET", "schema/{object}", control.schema),
        ("PUT", "schema/{object}", control.put_schema),
        ("DELETE", "schema/{object}", control.delete_schema),
        ("PUT", "schema/{object}/fields/{field}", control.put_field),
        ("DELETE", "schema/{object}/fields/{field}", control.delete_field),
        ("DELETE", "tokens", control.delete_tokens),
        ("GET", "topics", control.topics),
        ("PUT", "topics", control.put_topics),
        ("GET", "bulk-jobs", control.bulk_jobs),
        ("PUT", "bulk-jobs/{job}", control.put_bulk_job),
    ]
    return [Route(f"/_sandbox/{path}", _guarded(handler), methods=[method]) for method, path, handler in table]


class ControlApi:
    """The endpoints. Each returns what is sent as JSON."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def reset(self, request: Request) -> Any:
        await self._sandbox.reset()
        return {"reset": True}

    async def state(self, request: Request) -> Any:
        """All rows of all objects as stored, and what the message endpoints keep; or the rows of `?object=` alone.

        One object stands under the name that was asked for.
        """
        name = request.query_params.get("object")

        def read(tenant: Tenant) -> dict[str, Any]:
            if name is not None:
                return {"objects": {name: _stored_rows(tenant, get_object(tenant, name))}}
            return {
                "objects": {one.name: _stored_rows(tenant, one) for one in all_objects(tenant.connection)},
                "clickstream": {"messages": clickstream.received(tenant), "accounts": clickstream.accounts(tenant)},
                "published_events": events_framework.published(tenant),
            }

        return await self._sandbox.run(read)

    async def add_companies(self, request: Request) -> Any:
        companies = await _body(request, dict[str, list[dict[str, Any]]])
        rows = await self._sandbox.run(lambda tenant: add_companies(tenant, companies.get("companies", [])))
        return {"companies": rows}

    async def calls(self, request: Request) -> Any:
        """Calls with a greater id than `?after=`, oldest first, at most `?limit=` (1,000)."""
        after, limit = _whole(request, "after", 0), _whole(request, "limit", 1_000)
        calls = await self._sandbox.run(lambda tenant: calls_after(tenant.connection, after, limit))
        return {"calls": msgspec.to_builtins(calls), "last": calls[-1].id if calls else after}

    async def quota(self, request: Request) -> Any:
        """Calls accepted and refused in every window that saw one."""

        def read(tenant: Tenant) -> dict[str, Any]:
            found = {
                window: [{"start": readable(one["start_ms"]), **one} for one in ledger(tenant.connection, window)]
                for window in WINDOW_MS
            }
            switches = tenant.switches
            return {
                "now_ms": tenant.now_ms,
                "limits": {"minute": switches.calls_per_minute, "day": switches.calls_per_day}
                | {"bulk_hour": switches.bulk_calls_per_hour, "bulk_day": switches.bulk_calls_per_day},
                "accepted": sum(one["accepted"] for one in found["minute"]),
                "refused": sum(one["refused"] for one in found["minute"]),
                "minutes": found["minute"],
                "days": found["day"],
                "bulk_hours": found["bulk_hour"],
                "bulk_days": found["bulk_day"],
            }

        return await self._sandbox.run(read)

    async def faults(self, request: Request) -> Any:
        return await self._sandbox.run(lambda tenant: show_faults(tenant.connection))

    async def put_faults(self, request: Request) -> Any:
        faults = read_faults(await _body(request, Any))
        await self._sandbox.run(lambda tenant: set_faults(tenant.connection, faults))
        return await self.faults(request)

    async def switches(self, request: Request) -> Any:
        return msgspec.to_builtins(await self._sandbox.run(lambda tenant: load_switches(tenant.connection)))

    async def put_switches(self, request: Request) -> Any:
        changes = await _body(request, Any)
        return msgspec.to_builtins(await self._sandbox.run(lambda tenant: set_switches(tenant.connection, changes)))

    async def schema(self, request: Request) -> Any:
        name = request.path_params["object"]
        return msgspec.to_builtins(await self._sandbox.run(lambda tenant: get_object(tenant, name)))

    async def put_schema(self, request: Request) -> Any:
        wanted = await _body(request, schema_control.ObjectChange)
        name = request.path_params["object"]
        changed = await self._sandbox.run(lambda tenant: schema_control.put_object(tenant, name, wanted))
        return msgspec.to_builtins(changed)

    async def delete_schema(self, request: Request) -> Any:
        name = request.path_params["object"]
        await self._sandbox.run(lambda tenant: schema_control.delete_object(tenant, name))
        return {"removed": name}

    async def put_field(self, request: Request) -> Any:
        name, field = request.path_params["object"], request.path_params["field"]
        wanted = await _body(request, dict[str, Any])
        changed = await self._sandbox.run(lambda tenant: schema_control.put_field(tenant, name, field, wanted))
        return msgspec.to_builtins(changed)

    async def delete_field(self, request: Request) -> Any:
        name, field = request.path_params["object"], request.path_params["field"]
        await self._sandbox.run(lambda tenant: schema_control.delete_field(tenant, name, field))
        return {"removed": f"{name}.{field}"}

    async def delete_tokens(self, request: Request) -> Any:
        """Revoke every OAuth token."""
        return {"revoked": await self._sandbox.run(oauth.revoke_tokens)}

    async def topics(self, request: Request) -> Any:
        return msgspec.to_builtins(await self._sandbox.run(events_framework.topics_of))

    async def put_topics(self, request: Request) -> Any:
        topics = await _body(request, list[events_framework.Topic])
        await self._sandbox.run(lambda tenant: events_framework.set_topics(tenant, topics))
        return await self.topics(request)

    async def bulk_jobs(self, request: Request) -> Any:
        return msgspec.to_builtins(await self._sandbox.run(bulk.all_bulk_jobs))

    async def put_bulk_job(self, request: Request) -> Any:
        job, job_id = await _body(request, bulk.BulkJob), request.path_params["job"]
        await self._sandbox.run(lambda tenant: bulk.save_bulk_job(tenant, job_id, job))
        return await self.bulk_jobs(request)


def _stored_rows(tenant: Tenant, target: Object) -> list[dict[str, Any]]:
    """Rows with every field of their object, null where nothing was ever written."""
    empty = dict.fromkeys(field.name for field in target.fields)
    return [empty | row for row in rows_of(tenant, target.name)]


def _guarded(handler: Control) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return JSONResponse({"error": "the control API does not answer pages of other origins"}, 403)
        try:
            return JSONResponse(await handler(request))
        except InvalidSettingsError as error:
            return JSONResponse({"error": "; ".join(error.problems)}, 400)
        except RefusedError as error:
            return JSONResponse({"error": error.text}, 404 if error.code == "OBJECT_NOT_FOUND" else 400)

    return answer


async def _body(request: Request, shape: type[T] | Any) -> Any:
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSettingsError([f"the request body does not fit: {error}"]) from error


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise InvalidSettingsError([f"{name} must be a whole number"])
    return min(int(text), 2**63 - 1)
