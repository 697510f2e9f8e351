"""Pages for people: what the tenant holds, and every call with its answer. Plain HTML, no script, no outside asset."""

from starlette.routing import Route

from gainsight_destination.sandbox.sandbox import Sandbox


def routes(sandbox: Sandbox) -> list[Route]:
    return []
