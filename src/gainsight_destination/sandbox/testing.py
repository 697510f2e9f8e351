"""The sandbox on a free loopback port, for tests: in the running event loop, or in a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from gainsight_destination.clock import Clock, SystemClock
from gainsight_destination.sandbox.app import create_app
from gainsight_destination.sandbox.sandbox import SandboxOptions
from gainsight_destination.sandbox.server import SandboxServer, bind, url_of
from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY, Credentials

PLAIN: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The sandbox speaks plain http, and a client that reads no list of authorities is made fifty times as fast."""


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that listens. `url` has no slash at its end."""

    url: str
    access_key: str

    def client(self) -> httpx.AsyncClient:
        """A client with the Access Key."""
        return httpx.AsyncClient(
            base_url=self.url, headers={"accesskey": self.access_key}, verify=PLAIN, trust_env=False
        )

    async def control(self, method: str, path: str, json: Any = None) -> Any:
        """Call the control API: `await sandbox.control("PUT", "faults", [...])`. Raises httpx.HTTPStatusError."""
        async with httpx.AsyncClient(base_url=self.url, verify=PLAIN, trust_env=False) as client:
            answer = await client.request(method, f"/_sandbox/{path}", json=json)
            answer.raise_for_status()
            return answer.json()

    async def rows(self, object_name: str) -> list[dict[str, Any]]:
        """The rows of an object as stored."""
        state = await self.control("GET", f"state?object={object_name}")
        (rows,) = state["objects"].values()
        return list(rows)

    async def calls(self, *, after: int = 0) -> list[dict[str, Any]]:
        """The calls that came, oldest first."""
        return list((await self.control("GET", f"calls?after={after}&limit=100000"))["calls"])


@asynccontextmanager
async def running_sandbox(
    database_path: Path,
    *,
    clock: Clock | None = None,
    access_key: str = DEMO_ACCESS_KEY,
    options: SandboxOptions | None = None,
    port: int = 0,
) -> AsyncIterator[RunningSandbox]:
    """Run a sandbox in this event loop; the file stays, so that another run goes on where this one ended."""
    options = options or SandboxOptions(Credentials(access_key=access_key))
    opened = asyncio.Event()
    listener = bind("127.0.0.1", port)
    app = create_app(database_path=database_path, clock=clock or SystemClock(), options=options)
    server = SandboxServer(app, opened=opened.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await opened.wait()
        yield RunningSandbox(url_of(listener), options.credentials.access_key)
    finally:
        server.should_exit = True
        await serving


@contextmanager
def running_sandbox_in_thread(
    database_path: Path, *, clock: Clock | None = None, access_key: str = DEMO_ACCESS_KEY, port: int = 0
) -> Iterator[RunningSandbox]:
    """Like `running_sandbox`, for callers without an event loop. A clock given here is used from another thread."""
    started: Future[RunningSandbox] = Future()
    stop = threading.Event()

    async def serve() -> None:
        try:
            async with running_sandbox(database_path, clock=clock, access_key=access_key, port=port) as sandbox:
                started.set_result(sandbox)
                await asyncio.to_thread(stop.wait)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="sandbox")
    thread.start()
    try:
        yield started.result()
    finally:
        stop.set()
        thread.join()
