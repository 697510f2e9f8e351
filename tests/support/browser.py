"""A real Chromium, and pages on an origin of their own that use Segment's SDK for browsers."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

from tests.support.sdks import Call, lacking, node, node_modules

NOWHERE: Final = "http://127.0.0.1:9"
ARGUMENTS: Final = (
    "--no-sandbox",  # Chromium as root, in CI, has to do without
    *(f"--{whom}-url={NOWHERE}" for whom in ("gaia", "google", "google-apis")),
    f"--component-updater=url-source={NOWHERE}",
)
"""Chromium asks nobody anything of its own accord, so that whatever it asks is asked by a page."""
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
NEWEST_SDK: Final = "analytics-next-1.84"
EMPTY_PAGE: Final = b"<!doctype html><title>Elsewhere</title>"
PAGE_WITH_SDK: Final = '<!doctype html><title>Shop</title><script src="/{sdk}/index.js"></script>'

LOAD: Final = """async ([settings, options]) => {
  window.analytics = await AnalyticsNext.AnalyticsBrowser.load(settings, options).then(([analytics]) => analytics)
}"""
MAKE_CALLS: Final = """calls => {
  const say = {
    identify: (call, options) => analytics.identify(call.userId, call.traits, options),
    track: (call, options) => analytics.track(call.event, call.properties, options),
    group: (call, options) => analytics.group(call.groupId, call.traits, options),
    page: (call, options) => analytics.page(call.category, call.name, call.properties, options),
    screen: (call, options) => analytics.screen(call.category, call.name, call.properties, options),
    alias: (call, options) => analytics.alias(call.userId, call.previousId, options),
    reset: () => analytics.reset(),
  }
  const options = ({ messageId, integrations }) => ({ messageId, integrations })
  return Promise.all(calls.map((call) => say[call.type](call, options(call)))).then(() => null)
}"""


class Answering(BaseHTTPRequestHandler):
    """Answers every request as its server says."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        status, kind, body = self.server.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_CONNECT = answer  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        raise NotImplementedError

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Elsewhere(Server):
    """The rest of the internet: the browser's proxy for every host but this machine. It notes them and has nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[str] = []

    def answer(self, path: str) -> tuple[int, str, bytes]:
        self.hosts.append(urlsplit(path).hostname or path)
        return 502, "text/plain", b""


class Site(Server):
    """The website: its pages, and the SDK's own files as its npm package has them."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = {"/": EMPTY_PAGE}

    def answer(self, path: str) -> tuple[int, str, bytes]:
        path = urlsplit(path).path
        if path in self.pages:
            return 200, "text/html; charset=utf-8", self.pages[path]
        _, sdk, *file = path.split("/")
        if not file:
            return 404, "text/plain", b""
        if file == ["shop"]:
            return 200, "text/html; charset=utf-8", PAGE_WITH_SDK.format(sdk=sdk).encode()
        return 200, "text/javascript", (node_modules() / sdk / "dist" / "umd" / file[-1]).read_bytes()

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


Served = TypeVar("Served", bound=Server)


@contextmanager
def running(server: Served) -> Iterator[Served]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_browser() -> Iterator[tuple[Browser, Elsewhere]]:
    """Debian's Chromium, without a window; everything outside this machine it asks of the proxy."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        lacking("Chromium", "chromium")
    with running(Elsewhere()) as elsewhere, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=ARGUMENTS,
            proxy={"server": f"http://{elsewhere.host}", "bypass": "127.0.0.1"},
        )
        yield browser, elsewhere
        browser.close()


class Visitor:
    """Somebody who looks at pages of the site; what his browser asks for is watched."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.site = site
        self.page: Page = context.new_page()
        self._asked: list[Request] = []
        self.failed_answers: list[tuple[int, str]] = []
        context.on("request", self._see)
        context.on("response", self._look_at)

    def _see(self, request: Request) -> None:
        self._asked.append(request)

    def _look_at(self, response: Response) -> None:
        if response.status != 200 and not response.url.endswith("/favicon.ico"):
            self.failed_answers.append((response.status, urlsplit(response.url).path))

    def hosts(self) -> set[str]:
        """Every host that a page asked anything of."""
        self.page.evaluate("0")  # what happened since the last command is told with the next
        return {urlsplit(request.url).netloc for request in self._asked if request.url.startswith("http")}

    def load(
        self, settings: Mapping[str, Any], options: Mapping[str, Any] | None = None, *, sdk: str = NEWEST_SDK
    ) -> None:
        """Look at a page that loads the SDK as its documentation says, and wait until that is done."""
        self.page.goto(self.site.url(f"/{sdk}/shop"))
        self.page.evaluate(LOAD, [settings, options or {}])

    def make(self, calls: Sequence[Call]) -> None:
        """Make calls, and wait until the SDK has sent each for the first time, or put it into its batch."""
        self.page.evaluate(MAKE_CALLS, calls)

    def leave(self) -> None:
        """Go to a page that knows no SDK."""
        self.page.goto(self.site.url("/"))


def snippet(**options: Any) -> str:
    """Segment's snippet as its package renders it."""
    script = "console.log(require('snippet').max(JSON.parse(process.argv[1])))"
    ran = subprocess.run(
        [node(), "-e", script, json.dumps(options)],
        env={"NODE_PATH": str(node_modules())},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
