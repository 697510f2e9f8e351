"""Every path that an SDK may use, over real HTTP: what it takes, what it answers, and what the log holds afterwards."""

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest
import structlog
from tests.support.ingest import Ingest, running_ingest

from gainsight_destination.ingest import limits
from gainsight_destination.ingest.messages import GIF
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.observe import metrics
from gainsight_destination.observe.logs import configure_logs
from gainsight_destination.workspace.model import Source

AUTH = ("website-key", "")
ORIGIN = {"Origin": "https://app.acme.test"}
MESSAGE = {"writeKey": "website-key", "userId": "u-1", "event": "~~a?bx"}
"""Its base64 has + and / and padding."""
TEXT = json.dumps(MESSAGE, separators=(",", ":"))
SINGLES = ("identify", "track", "page", "screen", "group", "alias")
BATCH_TEXT = '{"writeKey":"website-key","batch":[{"type":"track"},{"type":"page"}]}'


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def client_of(ingest: Ingest) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=ingest.url, follow_redirects=False)


def kinds(ingest: Ingest) -> list[str]:
    return [entry.kind.name for entry in ingest.entries()]


async def test_short_paths_are_the_long_ones(memory_path: Path) -> None:
    """What browsers and phones post to /v1/t and /v1/b is stored as what servers post to /v1/track and /v1/batch."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for method in ("POST", "PUT"):
            for name in SINGLES:
                for path in (name, name[0], name[0].upper(), f"{name[0]}/"):
                    answer = await client.request(method, f"/v1/{path}", content=TEXT, headers=ORIGIN)
                    assert (answer.status_code, answer.content) == (200, b'{"success":true}'), path
            for path in ("batch", "import", "import/", "b", "B/"):
                assert (await client.request(method, f"/v1/{path}", content=BATCH_TEXT)).status_code == 200
        entries = ingest.entries()
        singles = [name.upper() for name in SINGLES for _ in range(4)]
        assert [entry.kind.name for entry in entries] == [*singles, *["BATCH"] * 5] * 2
        assert {entry.body for entry in entries} == {TEXT.encode(), BATCH_TEXT.encode()}


async def test_short_paths_keep_the_limits(memory_path: Path) -> None:
    """A single message over 32 KB is refused on the short path too, whether it comes as a body or in the query."""
    large = '{"writeKey":"website-key","a":"' + "x" * limits.SINGLE_BYTES + '"}'
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for answer in (
            await client.post("/v1/t", content=large),
            await client.get("/v1/t", params={"data": in_base64(large)}),
        ):
            assert (answer.status_code, answer.json()["message"]) == (400, "Exceed payload limit")
        assert (await client.post("/v1/b", content=BATCH_TEXT[:-2] + ',"' + "x" * 40_000 + '"]}')).status_code == 200
        assert kinds(ingest) == ["BATCH"]


async def test_hosts_given_with_and_without_v1(memory_path: Path) -> None:
    """An SDK adds its path to whatever host it was given; what comes of that still arrives."""
    paths = ("/b", "/batch", "/import/", "/v1/v1/batch", "/v1/v1/v1/b/", "//v1/batch", "/V1//B")
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for path in paths:
            assert (await client.post(ingest.url + path, content=BATCH_TEXT)).status_code == 200, path
        assert kinds(ingest) == ["BATCH"] * len(paths)


async def test_a_public_url_with_a_path(memory_path: Path) -> None:
    """A proxy may take the path of the public URL off or leave it on."""
    public_url = PublicUrl.parse("https://acme.test/Segment/in")
    async with running_ingest(memory_path, public_url=public_url) as ingest, client_of(ingest) as client:
        for path in ("/v1/t", "/Segment/in/v1/t", "/segment/in/v1/t/", "/Segment/in/t"):
            assert (await client.post(path, content=TEXT)).status_code == 200, path
        assert (await client.post("/elsewhere/v1/t", content=TEXT)).status_code == 404
        assert (await client.get("/Segment/in/health")).json() == {"status": "ok"}
        assert (await client.get("/Segment/in/v1/projects/website-key/settings")).status_code == 200


async def test_a_message_in_a_query(memory_path: Path) -> None:
    """GET with data= stores what its base64 holds, byte for byte: of either alphabet, padded or not, escaped or not."""
    standard, url_safe = in_base64(TEXT), base64.urlsafe_b64encode(TEXT.encode()).decode()
    assert {"+", "/", "="} <= set(standard), "the sample does not test what it should"
    written = [quote(standard, safe=""), standard, quote(standard.rstrip("="), safe=""), url_safe, url_safe.rstrip("=")]
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for data in written:
            answer = await client.get(f"{ingest.url}/v1/t?x=1&data={data}", headers=ORIGIN)
            assert (answer.status_code, answer.content) == (200, b'{"success":true}')
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        stored = [(entry.kind.name, entry.body) for entry in ingest.entries()]
        assert stored == [("TRACK", TEXT.encode())] * len(written)


async def test_every_short_path_reads_queries(memory_path: Path) -> None:
    """Also the batch; the write key may be the Basic user name, and no GET is forgotten by its path's kind."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for name in SINGLES:
            assert (await client.get(f"/v1/{name[0]}", params={"data": in_base64("{}")}, auth=AUTH)).status_code == 200
        assert (await client.get("/v1/b", params={"data": in_base64(BATCH_TEXT)})).status_code == 200
        assert kinds(ingest) == [*(name.upper() for name in SINGLES), "BATCH"]
        assert ingest.entries()[-1].count == 2


async def test_jsonp(memory_path: Path) -> None:
    """With a callback the answer is a script that calls it, of a type that browsers cannot mistake."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        good = await client.get("/v1/p", params={"data": in_base64(TEXT), "callback": "app.$done_1"})
        assert (good.status_code, good.text) == (200, '/**/app.$done_1({"success":true});')
        assert good.headers["content-type"] == "application/javascript; charset=utf-8"
        assert good.headers["x-content-type-options"] == "nosniff"
        assert int(good.headers["content-length"]) == len(good.content)
        bad = await client.get("/v1/p", params={"data": "e30", "callback": "f"})
        assert bad.status_code == 400
        assert json.loads(bad.text.removeprefix("/**/f(").removesuffix(");"))["code"] == "invalid_request"
        assert kinds(ingest) == ["PAGE"]


async def test_a_callback_is_a_name_and_nothing_else(memory_path: Path) -> None:
    """What could be any other script is refused as JSON, and its message is not stored."""
    wrong = ("alert(1)//", "a-b", "1a", "a..b", ".a", "a.", "a b", "<script>", "a\n", "é", "a[0]", "x" * 129)
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for callback in wrong:
            answer = await client.get("/v1/t", params={"data": in_base64(TEXT), "callback": callback})
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json"), callback
            assert answer.json()["message"].startswith("Malformed callback")
        assert ingest.log.end() == 0


async def test_what_is_refused_by_method_or_query(memory_path: Path) -> None:
    """Wrong methods are 400, as all that repeating cannot mend; HEAD stores nothing, DELETE neither."""
    data = {"data": in_base64(TEXT)}
    cases = [
        ("GET", "/v1/track", data, "Malformed JSON: send the message as the JSON body of a POST"),
        ("GET", "/v1/batch", {}, "Malformed JSON: send the message as the JSON body of a POST"),
        ("DELETE", "/v1/track", {}, "Malformed JSON: send the message as the JSON body of a POST"),
        ("DELETE", "/v1/t", data, "Malformed JSON: send the message as the JSON body of a POST"),
        ("PATCH", "/beacon/v1/batch", {}, "Malformed JSON: send the message as the JSON body of a POST"),
        ("GET", "/v1/t", {}, "Malformed query: send the message"),
        ("GET", "/v1/t", {"data": ""}, "Malformed query: send the message"),
        ("GET", "/v1/t", {"data": "%%%"}, "Malformed base64"),
        ("GET", "/v1/t", {"data": "a"}, "Malformed base64"),
        ("GET", "/v1/t", {"data": in_base64("[1]")}, "Malformed message"),
        ("GET", "/v1/t", {"data": in_base64("{")}, "Malformed JSON"),
        ("GET", "/v1/t", {"data": in_base64("{}")}, "An invalid write key was provided"),
        ("GET", "/v1/t", {str(number): "" for number in range(1_001)}, "Malformed query: more than 1000 fields"),
    ]
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for method, path, params, message in cases:
            answer = await client.request(method, path, params=params)
            assert (answer.status_code, answer.json()["success"]) == (400, False), (method, path)
            assert answer.json()["message"].startswith(message), (method, path)
        for path in ("/v1/track", "/v1/t", "/v1/b"):
            head = await client.head(path, params=data)
            assert (head.status_code, head.content) == (400, b"")
        assert ingest.log.end() == 0


async def test_measurements_of_sdks_are_thrown_away(memory_path: Path) -> None:
    """/v1/m is 200 for anybody and anything, and leaves nothing; a body without end is not read to its end."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for content in (b'{"series":[]}', b"", b"not JSON", b"x" * 3_000_000):
            answer = await client.post("/v1/m", content=content)
            assert (answer.status_code, answer.content) == (200, b'{"success":true}')
        assert (await client.post("/m", content=b"{}", headers={"Content-Encoding": "br"})).status_code == 200
        head = b"POST /v1/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 900000000\r\n\r\n"
        assert b"200 OK" in await ingest.exchange(head, b"x" * (limits.DRAIN_BYTES + 1))
        assert ingest.log.end() == 0


async def test_beacons(memory_path: Path) -> None:
    """sendBeacon sets no header, so the write key may stand in the query; a key in the body counts first."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        plain = {"Content-Type": "text/plain;charset=UTF-8", **ORIGIN}
        batch = '{"batch":[{"type":"track"}]}'
        for path in ("/beacon/v1/batch?writeKey=website-key", "/beacon/v1/batch/?writeKey=%20website-key"):
            assert (await client.post(path, content=batch, headers=plain)).status_code == 200
        await client.post("/beacon/v1/batch?writeKey=nobody", content=BATCH_TEXT, headers=plain)
        assert [entry.source_id for entry in ingest.entries()] == [1, 1, 1]
        for path in ("/beacon/v1/batch", "/v1/batch?writeKey=website-key"):
            assert (await client.post(path, content=batch)).status_code == 400


async def test_browsers_ask_first_on_every_path(memory_path: Path) -> None:
    """analytics-next sends Authorization, so that each of its paths is asked for before the message comes."""
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
    }
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for path in ("t", "b", "m", "track", "batch", "projects/website-key/settings", "pixel/track"):
            answer = await client.options(f"/v1/{path}", headers=asked)
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["access-control-allow-headers"] == asked["Access-Control-Request-Headers"]
            assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["access-control-allow-methods"].split(", "))
            assert answer.headers["access-control-max-age"] == "604800"
        assert ingest.log.end() == 0


# Pixels


async def test_pixels_with_data(memory_path: Path) -> None:
    """The path says what the message in the base64 is."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for name in SINGLES:
            assert_pixel(await client.get(f"/v1/pixel/{name}", params={"data": in_base64(TEXT)}))
        assert kinds(ingest) == [name.upper() for name in SINGLES]
        assert {entry.body for entry in ingest.entries()} == {TEXT.encode()}


DOTTED = [
    ("userId=u-1&event=Email%20Opened", {"userId": "u-1", "event": "Email Opened"}),
    ("properties.subject=Hi+there&properties.n=1", {"properties": {"subject": "Hi there", "n": "1"}}),
    ("context.campaign.name=a&context.campaign.source=b", {"context": {"campaign": {"name": "a", "source": "b"}}}),
    ("a. b .c=1", {"a": {"b": {"c": "1"}}}),
    ("a..b=1&.c=2&d.=3&=4&e=5", {"e": "5"}),
    ("a=1&a=2&a=3", {"a": ["1", "2", "3"]}),
    ("a.b=1&a.b=2", {"a": {"b": ["1", "2"]}}),
    ("a=1&a.b=2", {"a": "1"}),
    ("a.b=2&a=1", {"a": {"b": "2"}}),
    ("a=&b=%C3%A9&c=%FF", {"a": "", "b": "é", "c": "\ufffd"}),
    ("a=1&a.b=2&a=3", {"a": ["1", "3"]}),
]


async def test_pixels_with_dotted_names(memory_path: Path) -> None:
    """The names of the query are paths into the message, as in Segment's code; every value is text."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for query, _ in DOTTED:
            assert_pixel(await client.get(f"{ingest.url}/v1/pixel/track?writeKey=website-key&{query}"))
        for (query, message), entry in zip(DOTTED, ingest.entries(), strict=True):
            assert json.loads(entry.body) == {"writeKey": "website-key", **message}, query


async def test_a_bad_pixel_is_the_image_all_the_same(memory_path: Path) -> None:
    """The reader of a mail sees nothing, the operator sees the count, and the log holds nothing."""
    deep = ".".join(["a"] * 33)
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        before = lost_pixels("400")
        bad = [
            {},
            {"data": "%%%"},
            {"data": in_base64("[]")},
            {"data": in_base64("{}")},
            {"userId": "u"},
            {"writeKey": "website-key", deep: "1"},
        ]
        for params in bad:
            assert_pixel(await client.get("/v1/pixel/track", params=params))
        for method in ("POST", "HEAD", "DELETE"):
            answer = await client.request(method, "/v1/pixel/track", params={"data": in_base64(TEXT)})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
        assert lost_pixels("400") - before == len(bad) + 3
        assert (await client.get("/v1/pixel/delete")).status_code == 404
        assert ingest.log.end() == 0


async def test_a_pixel_that_cannot_be_stored_is_counted(memory_path: Path) -> None:
    """Past the watermark a POST is a 503; a pixel is lost, which its count says."""
    before = lost_pixels("503")
    async with running_ingest(memory_path, max_queued_bytes=1) as ingest, client_of(ingest) as client:
        assert_pixel(await client.get("/v1/pixel/track", params={"data": in_base64(TEXT)}))
        assert lost_pixels("503") == before + 1
        assert ingest.log.end() == 0


def assert_pixel(answer: httpx.Response) -> None:
    """One transparent point that nobody keeps."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.headers["cache-control"] == "no-cache, max-age=0"
    assert answer.content == GIF
    assert GIF[:10] == b"GIF89a\x01\x00\x01\x00"


def lost_pixels(code: str) -> float:
    return metrics.ingest_lost_pixels.labels(code)._value.get()


# Settings


def segment_of(answer: httpx.Response) -> dict[str, object]:
    assert answer.status_code == 200, answer.text
    settings = answer.json()
    assert list(settings["integrations"]) == ["Segment.io"], "another name makes analytics.js fetch a script"
    assert settings["metrics"] == {"sampleRate": 0}, "SDKs would report to Segment"
    segment: dict[str, object] = settings["integrations"]["Segment.io"]
    return segment


async def test_settings_name_the_public_url(memory_path: Path) -> None:
    """SDKs are sent to the public URL, whatever they asked; such a document may be kept for a while."""
    public_url = PublicUrl.parse("https://events.acme.test:8443/in/")
    async with running_ingest(memory_path, public_url=public_url) as ingest, client_of(ingest) as client:
        for headers in ({}, {"Host": "evil.test", "X-Forwarded-Host": "evil.test"}):
            answer = await client.get("/v1/projects/website-key/settings", headers=headers)
            segment = segment_of(answer)
            assert segment["apiKey"] == "website-key"
            assert (segment["protocol"], segment["apiHost"]) == ("https", "events.acme.test:8443/in/v1")
            assert answer.headers["cache-control"] == "public, max-age=300"
            assert answer.headers["vary"] == "Origin"
            assert answer.headers["content-type"] == "application/json"
        asked = await client.get("/v1/projects/website-key/settings", headers=ORIGIN)
        assert asked.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert asked.headers["vary"] == "Origin"


async def test_settings_without_a_public_url_name_the_host_asked_for(memory_path: Path) -> None:
    """The Host header decides, X-Forwarded-* does not, and nobody on the way may keep the answer."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        forwarded = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.test"}
        for host in ("127.0.0.1:8080", "events.acme.test", "[::1]:8080", "my_host"):
            answer = await client.get("/v1/projects/website-key/settings", headers={"Host": host, **forwarded})
            assert (segment_of(answer)["protocol"], segment_of(answer)["apiHost"]) == ("http", f"{host}/v1")
            assert answer.headers["cache-control"] == "no-store"


async def test_a_host_that_is_none_is_not_repeated(memory_path: Path) -> None:
    """What could mean something else inside a URL is refused."""
    wrong = ("", "a b", "a/b", "user@a", "a:b", "a:0", "a:70000", "a?x", "a#x", '"', "a..b", "-a", "é.test", "a" * 300)
    async with running_ingest(memory_path) as ingest:
        for host in wrong:
            head = f"GET /v1/projects/website-key/settings HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            answer = await ingest.exchange(head.encode())
            assert b" 400 Bad Request" in answer, host
            assert b"Host header is missing or is no host name" in answer


SETTINGS_PATHS = [
    "/v1/projects/website-key/settings",
    "/v1/projects/website-key/settings/",
    "/v1/projects/projects/website-key/settings",
    "/projects/website-key/settings",
    "/projects/projects/website-key/settings",
    "/v1/v1/projects/website-key/settings",
    "//V1/Projects/website-key/Settings",
]


async def test_settings_are_found_on_the_paths_that_sdks_make(memory_path: Path) -> None:
    """A cdn host given with or without /v1 and /projects leads to the same document."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for path in SETTINGS_PATHS:
            assert segment_of(await client.get(ingest.url + path))["apiKey"] == "website-key", path


async def test_a_write_key_may_hold_what_it_likes(memory_path: Path) -> None:
    """Keys made by `openssl rand -base64` have slashes."""
    source = Source(1, "website", "ab+/c//d=%")
    async with running_ingest(memory_path, sources=[source]) as ingest, client_of(ingest) as client:
        for written in ("ab+/c//d=%25", quote(source.write_key, safe="")):
            answer = await client.get(f"{ingest.url}/v1/projects/{written}/settings")
            assert segment_of(answer)["apiKey"] == source.write_key


async def test_settings_of_nobody_are_404(memory_path: Path) -> None:
    """Unknown and disabled write keys get no document, as at Segment's CDN; write keys count letter for letter."""
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for key in ("nobody", "retired-key", "WEBSITE-KEY", "%20"):
            answer = await client.get(f"/v1/projects/{key}/settings")
            assert (answer.status_code, answer.json()["code"], answer.json()["success"]) == (404, "not_found", False)
            assert answer.headers["cache-control"] == "no-store"
        for path in ("/v1/projects/settings", "/v1/projects//settings", "/v1/projects/website-key"):
            assert (await client.get(path)).status_code == 404
        posted = await client.post("/v1/projects/website-key/settings", content=b"{}")
        assert posted.status_code == 400
        ingest.sources._version = None
        assert (await client.get("/v1/projects/website-key/settings")).status_code == 503


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """The logs of this process, for the time of a test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(part="ingest", stream=stream, level=logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_write_keys_in_urls_are_not_logged(
    memory_path: Path, logs: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when all goes well nor when a bug is reported."""

    def broken(write_key: str) -> None:
        raise RuntimeError("something broke")

    paths = [
        "/v1/projects/website-key/settings",
        "/beacon/v1/batch?writeKey=website-key",
        "/v1/pixel/page?writeKey=website-key",
        "/v1/t?" + urlencode({"data": in_base64(TEXT)}),
    ]
    async with running_ingest(memory_path) as ingest, client_of(ingest) as client:
        for _ in ("well", "broken"):
            for path in paths:
                await client.get(path)
                await client.post(path, content=b'{"batch":[1]}')
            monkeypatch.setattr(ingest.sources, "source_of", broken)
    ours = [line for line in map(json.loads, logs.getvalue().splitlines()) if "part" in line and "httpx" not in line]
    assert {line["route"] for line in ours if line["event"] == "request failed"} >= {"settings", "beacon", "pixel"}
    text = "\n".join(line for line in logs.getvalue().splitlines() if "HTTP Request" not in line)
    assert "something broke" in text
    assert "website-key" not in text
    assert in_base64(TEXT) not in text
