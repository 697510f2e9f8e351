"""Pages from templates: the environment, and what every page knows."""

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from gainsight_destination import __version__
from gainsight_destination.console import words
from gainsight_destination.console.nav import NAVIGATION

STATIC: Final = files("gainsight_destination.console").joinpath("static")
FLASH: Final = "gainsight_destination_flash"
THEME: Final = "gainsight_destination_theme"

TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("gainsight_destination.console"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def asset(name: str) -> str:
    """The URL of a static file, with a digest of its content so that browsers may keep it for ever."""
    digest = hashlib.sha256(STATIC.joinpath(name).read_bytes()).hexdigest()[:12]
    return f"/static/{digest}/{name}"


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def url(path: str, **query: Any) -> str:
    """A path with a query, without what is empty."""
    wanted = {name: value for name, value in query.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(wanted)}" if wanted else path


TEMPLATES.filters |= {
    "number": words.number,
    "percent": words.percent,
    "when": words.when,
    "duration": words.duration,
    "bytes": words.size,
    "pretty": pretty,
    "day": words.day,
    "segment": lambda text: quote(str(text), safe=""),
}
TEMPLATES.globals |= {"asset": asset, "url": url, "version": __version__}


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page. `flash`, told once after a redirect, is taken out of its cookie."""
    flash = request.cookies.get(FLASH, "")
    theme = request.cookies.get(THEME, "")
    text = TEMPLATES.get_template(template).render(
        here=request.url.path,
        visitor=getattr(request.state, "visitor", None),
        navigation=NAVIGATION,
        flash=words.unpacked(flash),
        theme=theme if theme in ("light", "dark") else "",
        now_ms=words.now_ms(request),
        **context,
    )
    answer = HTMLResponse(text, status)
    if flash:
        answer.delete_cookie(FLASH, path="/")
    return answer


def part(template: str, macro: str, *arguments: Any) -> Markup:
    """A piece of a page by itself, for the live parts."""
    return Markup(getattr(TEMPLATES.get_template(template).module, macro)(*arguments))  # noqa: S704 - escaped by jinja
