"""One call from its arrival to its answer, inside one transaction: key, quota, fault, endpoint, log.

The log and the counts are kept whatever happens; what a refused call wrote is undone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gainsight_destination.sandbox import answers
from gainsight_destination.sandbox.answers import Answer, RefusedError, Reply, failure, invalid_api, success
from gainsight_destination.sandbox.auth import nobody, require_key
from gainsight_destination.sandbox.bulk import BULK, import_rows
from gainsight_destination.sandbox.calls import Call, record_call
from gainsight_destination.sandbox.faults import Fault, choose_fault
from gainsight_destination.sandbox.identifiers import new_uuid
from gainsight_destination.sandbox.jobs import Work, finish_due_jobs
from gainsight_destination.sandbox.people import PEOPLE, write_people
from gainsight_destination.sandbox.quota import Quota, admit, throttled
from gainsight_destination.sandbox.tenant import Tenant

Handler = Callable[[Tenant, Call], Reply]
WORKS: Final[Mapping[str, Work]] = {PEOPLE: write_people, BULK: import_rows}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the API: what each method does, who may call, and which quota it counts in."""

    methods: Mapping[str, Handler]
    allow: Callable[[Tenant, Call], None] = require_key
    quota: Quota = "calls"
    object_api: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer, and the fault that spoils or loses it on its way."""

    answer: Answer
    fault: Fault | None


UNKNOWN_PATH: Final = Endpoint({}, allow=nobody, quota="none")


def exchange(tenant: Tenant, call: Call, endpoint: Endpoint) -> Outcome:
    """Answer a call and write it down."""
    finish_due_jobs(tenant, WORKS)
    request_id = new_uuid(tenant.connection)
    fault: Fault | None = None
    try:
        endpoint.allow(tenant, call)
        if not admit(tenant, endpoint.quota):
            raise throttled(tenant.switches.throttle_code)
        fault = choose_fault(tenant, call.method, call.path)
        if fault is not None and not fault.commits:
            answer = fault.answer(request_id)
        else:
            answer = success(_commit(tenant, call, endpoint), request_id)
    except RefusedError as error:
        answer = failure(error, request_id)
    if fault is not None:
        answer = fault.spoil(answer)
    record_call(tenant, call, answer, None if fault is None else fault.kind)
    return Outcome(answer, fault)


def _commit(tenant: Tenant, call: Call, endpoint: Endpoint) -> Reply:
    """Do the call's work whole or not at all."""
    handler = endpoint.methods.get(call.method)
    if handler is None:
        raise invalid_api() if endpoint.object_api else RefusedError(404, answers.NOT_FOUND, "Not Found")
    tenant.connection.execute("SAVEPOINT endpoint")
    try:
        reply = handler(tenant, call)
    except BaseException:
        tenant.connection.execute("ROLLBACK TO endpoint")
        raise
    finally:
        tenant.connection.execute("RELEASE endpoint")
    return reply
