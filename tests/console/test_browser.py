"""The console as people use it: from an empty installation to the first delivered event, and every page looked at.

SCREENSHOTS=FOLDER leaves pictures of the pages.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.support.browser import Site, Visitor, running, running_browser
from tests.support.console import PASSWORD
from tests.support.pipeline import ACCESS_KEY
from tests.support.sdks import axe
from tests.support.soak import SOAK
from tests.support.system import System, wait_until

LOOKS: Final = [(size, scheme) for size in ("wide", "narrow") for scheme in ("light", "dark")][:: 1 if SOAK else 3]
"""The first and the last of them have every size and every colour."""
SIZES: Final = {"wide": (1280, 800), "narrow": (390, 800)}
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PAGES: Final = {
    "overview": "/overview",
    "sources": "/sources",
    "source-new": "/sources/new",
    "source": "/sources/1",
    "catalog": "/catalog",
    "catalog-entry": "/catalog/gainsight",
    "connect": "/catalog/gainsight/connect",
    "destinations": "/destinations",
    "destination": "/destinations/1",
    "settings": "/destinations/1/connection",
    "check": "/destinations/1/check",
    "events": "/destinations/1/events",
    "mapping": "/destinations/1/mapping",
    "limits": "/destinations/1/advanced",
    "review": "/destinations/1/review",
    "failures": "/failures",
    "live": "/live",
    "search": "/search?q=u",
    "user": "/users/u1",
    "account": "/accounts/ACCOUNT",
    "worklists": "/worklists",
    "find": "/messages",
    "message": "/messages?id=first-track",
    "replays": "/replays",
    "replay": "/replays/1",
    "history": "/history",
    "version": "/history/1",
    "people": "/people",
    "tokens": "/tokens",
    "you": "/you",
    "missing": "/nothing",
}


class Empty(System):
    """A server in which nothing is configured, and a sandbox."""

    def spawn_serve(self) -> None:
        self._start(
            "serve",
            "serve",
            *("--data", str(self.data), "--ingest", f"127.0.0.1:{self.ports['ingest']}"),
            *("--console", f"127.0.0.1:{self.ports['console']}"),
        )

    def setup_path(self) -> str:
        """The path of the link that `serve` printed."""
        told = wait_until(
            lambda: re.search(r"http\S+/setup/\S+", (self.directory / "serve.txt").read_text()), "the set-up link"
        )
        return urlsplit(told.group()).path


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Empty]:
    made = Empty(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with running_browser() as (running, _):
        yield running


@pytest.fixture
def page(system: Empty, browser: Browser) -> Iterator[Page]:
    """One person's browser, whose pages may not stumble over their own script."""
    with browser.new_context(viewport={"width": 1280, "height": 800}, base_url=system.console_url) as context:
        made = context.new_page()
        stumbled: list[str] = []
        made.on("pageerror", lambda error: stumbled.append(str(error)))
        yield made
        assert stumbled == []


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_from_nothing_to_the_first_delivered_event_and_every_page(system: Empty, page: Page, browser: Browser) -> None:
    """What the seed of this product promises, walked by a person; then every page is looked at.

    axe finds nothing wrong on any, and nothing sticks out at the side; light and dark, wide and narrow.
    """
    walk(system, page, browser)
    wrong = {}
    for size, scheme in LOOKS:
        wrong |= looked_at(system, page, browser, size, scheme)
    assert wrong == {}


def walk(system: Empty, page: Page, browser: Browser) -> None:
    """Set up, add a source, connect Gainsight, send from a web page with Segment's SDK, and see it arrive."""
    page.goto(system.setup_path())
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    page.get_by_role("link", name="Add a source").click()
    page.get_by_label("Name", exact=True).fill("website")
    page.get_by_role("button", name="Add the source").click()
    expect(page.get_by_text("waiting for the first message")).to_be_visible()
    key = page.locator("section", has_text="Write key").locator("code").last.inner_text()
    source_page = page.url

    page.goto("/catalog?q=gain")
    page.get_by_role("link", name="Gainsight", exact=True).click()
    page.get_by_role("link", name="Connect Gainsight").click()
    page.get_by_label("Access Key").fill("too-short")
    page.get_by_label("Domain").fill(system.sandbox_url)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("must be 36 characters")
    page.get_by_label("Access Key").fill(f" {ACCESS_KEY} ")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Test the connection").click()
    expect(page.get_by_role("status")).to_contain_text("Connected and ready", timeout=20_000)
    page.get_by_role("link", name="Go on").click()
    page.get_by_label("Track events to send").fill("Signed Up")
    page.get_by_role("button", name="Save and go on").click()
    page.get_by_role("button", name="Save and go on").click()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text("what comes is delivered")).to_be_visible()
    waiting = page.context.new_page()
    waiting.goto(source_page)
    expect(waiting.get_by_text("waiting for the first message")).to_be_visible()

    account = account_of(system)
    page.goto("/live")
    expect(page.get_by_text("Nothing came yet")).to_be_visible()
    with running(Site()) as site, browser.new_context() as context:
        visitor = Visitor(context, site)
        visitor.load({"writeKey": key, "cdnURL": system.ingest_url})
        visitor.make(
            [
                {"type": "identify", "userId": "u1", "traits": {"email": "u1@x.test", "accountId": account}},
                {"type": "track", "event": "Signed Up", "properties": {}, "messageId": "first-track"},
                {"type": "track", "event": "Not Listed", "properties": {}, "messageId": "second-track"},
            ]
        )
    expect(waiting.get_by_text("receives")).to_be_visible(timeout=20_000)
    waiting.close()
    row = page.locator("tr", has=page.get_by_role("link", name="Signed Up"))
    expect(row.get_by_text("delivered", exact=True)).to_be_visible(timeout=60_000)  # all by itself
    row.get_by_role("link").click()
    expect(page.get_by_text(account).first).to_be_visible()
    expect(page.get_by_text("traits.accountId of an identify call")).to_be_visible()
    (row,) = system.rows("Segment_Event__gc")
    assert row["Account_Id__gc"] == account
    page.goto("/overview")
    expect(page.get_by_text("every message is accounted for")).to_be_visible()
    page.goto("/replays")
    page.get_by_label("Everything in the log").check()
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_role("status")).to_contain_text("3 messages are chosen")
    page.get_by_role("button", name="Start the replay").click()
    expect(page.get_by_text("taken to its records")).to_be_visible()


def account_of(system: System) -> str:
    """An account that Gainsight has a Company of."""
    return str(next(row["SfdcAccountId"] for row in system.rows("company") if len(row["SfdcAccountId"]) == 18))


def looked_at(system: Empty, page: Page, browser: Browser, size: str, scheme: Any) -> dict[str, Any]:
    """What is wrong with each page, for somebody with the session of `page`."""
    width, height = SIZES[size]
    wrong: dict[str, Any] = {}
    with browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        base_url=system.console_url,
        storage_state=page.context.storage_state(),
        bypass_csp=True,  # for axe; the pages themselves are asked for their policy in test_access.py
    ) as context:
        looked_at = context.new_page()
        for name, path in PAGES.items():
            looked_at.goto(path.replace("ACCOUNT", account_of(system)), wait_until="domcontentloaded")
            picture(looked_at, f"{name}-{size}-{scheme}")
            looked_at.evaluate(axe())
            found = looked_at.evaluate("rules => axe.run({ runOnly: rules })", RULES)
            seen = [(v["id"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found["violations"]]
            wide = looked_at.evaluate("document.documentElement.scrollWidth")
            if seen or wide > width:
                wrong[f"{name} {size} {scheme}"] = (seen, wide)
    return wrong


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
