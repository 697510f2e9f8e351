"""https on the public port: real handshakes, bounds on slow ones, renewal beneath open connections, and bad pairs."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.integration.test_cli_program import run
from tests.support.certificates import Issued, files_in, issue
from tests.support.ingest import Ingest, StoppedClock, running_ingest

from gainsight_destination.errors import UserError
from gainsight_destination.ingest import limits
from gainsight_destination.ingest.tls import REFRESH_SECONDS, Tls, TlsFiles
from gainsight_destination.observe import metrics
from gainsight_destination.runtime.testing import write_sources
from gainsight_destination.testing import ManualClock
from gainsight_destination.workspace.model import Source

KEY = b"Authorization: Basic d2Vic2l0ZS1rZXk6\r\n"
POST = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + KEY
YEAR_SECONDS = 366 * 86_400


def at(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def first() -> Issued:
    return issue(algorithm="rsa")


@pytest.fixture(scope="module")
def second() -> Issued:
    """Of another algorithm than the first: both could be loaded at once, and a client would be given either."""
    return issue()


@pytest.fixture
def files(memory_path: Path, first: Issued) -> TlsFiles:
    return first.write(files_in(memory_path))


async def connect(ingest: Ingest, trust: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", ingest.port, ssl=trust, server_hostname="localhost")


async def leave(writer: asyncio.StreamWriter) -> None:
    """Close a connection, without waiting for the other side's goodbye."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def shown_to(ingest: Ingest, trust: ssl.SSLContext) -> bytes:
    """The certificate, as a client gets it that does not name the server, and as one does that trusts it."""
    unasking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unasking.check_hostname, unasking.verify_mode = False, ssl.CERT_NONE
    shown = set()
    for context, name in ((trust, "localhost"), (unasking, "")):
        _, writer = await asyncio.open_connection("127.0.0.1", ingest.port, ssl=context, server_hostname=name)
        shown.add(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        await leave(writer)
    (certificate,) = shown
    assert isinstance(certificate, bytes)
    return certificate


def der(issued: Issued) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.cert.decode())


async def test_messages_over_https(memory_path: Path, files: TlsFiles, first: Issued) -> None:
    """SDKs that trust the certificate send as ever; the settings document and health say https."""
    tls = Tls(files, clock=StoppedClock())
    async with running_ingest(memory_path, tls=tls) as ingest:
        url = f"https://localhost:{ingest.port}"
        async with httpx.AsyncClient(base_url=url, verify=first.client(), trust_env=False) as client:
            for number in range(3):
                answer = await client.post("/v1/track", json={"n": number}, auth=("website-key", ""))
                assert (answer.status_code, answer.content) == (200, b'{"success":true}')
            large = await client.post("/v1/batch", content=b"x" * 3_000_000, auth=("website-key", ""))
            assert (large.status_code, large.json()["message"]) == (400, "Exceed payload limit")
            document = (await client.get("/v1/projects/website-key/settings")).json()
            segment = document["integrations"]["Segment.io"]
            assert (segment["protocol"], segment["apiHost"]) == ("https", f"localhost:{ingest.port}/v1")
            health = (await client.get("/health")).json()
            assert health == {"status": "ok", "https": {"certificateExpires": "2099-01-01T00:00:00Z"}}
        assert [entry.body for entry in ingest.entries()] == [b'{"n":%d}' % number for number in range(3)]
        assert metrics.ingest_tls_expiry_timestamp_seconds._value.get() == at(2099).timestamp()


async def test_tls_is_1_2_or_newer(memory_path: Path, files: TlsFiles, first: Issued) -> None:
    """Older clients get no connection, and those that can speak HTTP/2 agree on HTTP/1.1."""
    tls = Tls(files, clock=StoppedClock())
    async with running_ingest(memory_path, tls=tls) as ingest:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trust = first.client()
            trust.minimum_version = trust.maximum_version = version
            trust.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await connect(ingest, trust)
            spoken = writer.get_extra_info("ssl_object")
            assert spoken.version() == version.name.replace("_", ".")
            assert spoken.selected_alpn_protocol() == "http/1.1"
            await leave(writer)
        assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2
        # A hello of TLS 1.1 by hand, which today's OpenSSL would not say.
        hello = bytes.fromhex("160301002d010000290302") + b"\x01" * 32 + bytes.fromhex("000002c0130100")
        assert await ingest.exchange(hello) == b""


async def test_what_is_not_tls_gets_no_answer(memory_path: Path, files: TlsFiles, first: Issued) -> None:
    """Plain HTTP on the port is cut off, and others go on."""
    async with running_ingest(memory_path, tls=Tls(files, clock=StoppedClock())) as ingest:
        answer = await ingest.exchange(POST + b"Content-Length: 2\r\n\r\n{}")
        assert b"HTTP" not in answer
        assert der(first) == await shown_to(ingest, first.client())
        assert ingest.log.end() == 0


async def test_a_handshake_that_never_ends_loses_its_connection(memory_path: Path, files: TlsFiles) -> None:
    """Who says nothing, or half a hello, is closed after handshake_seconds."""
    tls = Tls(files, clock=StoppedClock())
    async with running_ingest(memory_path, tls=tls, handshake_seconds=0.05) as ingest:
        for start in (b"", b"\x16\x03\x01\x02"):
            reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
            writer.write(start)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            await leave(writer)
    assert limits.HANDSHAKE_SECONDS <= limits.REQUEST_SECONDS


async def test_endless_headers_are_cut_off_under_tls(memory_path: Path, files: TlsFiles, first: Issued) -> None:
    """The bound on the head of a request counts what was said, not what came packed."""
    async with running_ingest(memory_path, tls=Tls(files, clock=StoppedClock())) as ingest:
        reader, writer = await connect(ingest, first.client())
        writer.write(POST + b"X: " + b"x" * limits.HEAD_BYTES)
        assert b"headers are too large" in await reader.read()
        await leave(writer)


@pytest.mark.parametrize("start", [b"", b"POST /v1/tr", POST + b"Content-Length: 100\r\n\r\n{"])
async def test_a_request_that_never_ends_loses_its_connection_under_tls(
    start: bytes, memory_path: Path, files: TlsFiles, first: Issued
) -> None:
    """Slow senders are closed after REQUEST_SECONDS, and at once: nobody waits for them to say goodbye."""
    clock = StoppedClock()
    async with running_ingest(memory_path, clock=clock, tls=Tls(files, clock=clock)) as ingest:
        _, writer = await connect(ingest, first.client())
        writer.write(start)
        await writer.drain()
        await shown_to(ingest, first.client())  # what came before has been read by now
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        ingest.server.open.look()
        clock.ms += limits.REQUEST_SECONDS * 1_000 + 1
        ingest.server.open.look()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not ingest.server.server_state.connections
        await leave(writer)


# Renewal


async def test_a_renewed_certificate_is_used_without_a_restart(
    memory_path: Path, files: TlsFiles, first: Issued, second: Issued
) -> None:
    """New connections get the new pair and open ones go on, also while only one of the two files is written."""
    clock = ManualClock()
    tls = Tls(files, clock=clock)
    async with running_ingest(memory_path, clock=clock, tls=tls) as ingest:
        reader, writer = await connect(ingest, first.client())
        tls.refresh()
        assert await shown_to(ingest, first.client()) == der(first)

        files.cert.write_bytes(second.cert)
        tls.refresh()
        assert "is not the key of the first certificate" in " ".join(tls.troubles())
        assert await shown_to(ingest, first.client()) == der(first)

        files.key.write_bytes(second.key)
        tls.refresh()
        assert tls.troubles() == []
        used = tls._pair
        tls.refresh()
        assert tls._pair is used, "files that did not change are not read again"
        assert await shown_to(ingest, second.client()) == der(second)
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(ingest, first.client())

        writer.write(POST + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
        assert b'{"success":true}' in await reader.read()
        await leave(writer)


class TurnByTurn(StoppedClock):
    """Whoever sleeps, sleeps until the test takes the next turn."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []
        self.asleep, self._wake = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        await self._wake.wait()
        self._wake.clear()

    async def turn(self) -> None:
        """Wake who sleeps, and wait until it sleeps again."""
        self.asleep.clear()
        self._wake.set()
        await self.asleep.wait()


def replaced(files: TlsFiles, issued: Issued) -> None:
    """As certbot and Kubernetes do it: other files under the same names."""
    for path, content in ((files.cert, issued.cert), (files.key, issued.key)):
        beside = path.with_suffix(".new")
        beside.write_bytes(content)
        os.utime(beside, ns=(0, path.stat().st_mtime_ns))
        beside.rename(path)


@pytest.mark.parametrize("change", [Issued.write, lambda issued, files: replaced(files, issued)])
async def test_changed_files_are_seen_by_the_clock(
    change: Callable[[Issued, TlsFiles], object], files: TlsFiles, second: Issued
) -> None:
    """The watch looks every few seconds, and sees files that were written, linked or moved into place."""
    clock = TurnByTurn()
    tls = Tls(files, clock=clock)
    before = tls._pair
    watch = asyncio.create_task(tls.watch())
    await clock.asleep.wait()
    change(second, files)
    assert tls._pair is before
    await clock.turn()
    assert tls._pair is not before
    assert clock.slept == [REFRESH_SECONDS] * 2
    watch.cancel()


def test_files_that_go_away_or_wrong_change_nothing(files: TlsFiles, first: Issued) -> None:
    """Health says what is wrong with the new files, until they are good again."""
    tls = Tls(files, clock=ManualClock())
    before = tls._pair
    files.cert.unlink()
    tls.refresh()
    assert "cannot be read: No such file" in tls.troubles()[0]
    files.cert.write_text("nonsense")
    tls.refresh()
    assert "holds no PEM certificate" in tls.troubles()[0]
    assert tls._pair is before
    first.write(files)
    tls.refresh()
    assert tls.troubles() == []


def test_files_that_were_away_for_a_moment_are_no_trouble_afterwards(files: TlsFiles) -> None:
    """A volume that is mounted again has the very same files: the pair in use is good, and health says so."""
    tls = Tls(files, clock=ManualClock())
    away = files.cert.rename(files.cert.with_suffix(".away"))
    tls.refresh()
    assert "cannot be read: No such file" in tls.troubles()[0]
    away.rename(files.cert)
    tls.refresh()
    assert tls.troubles() == []


def test_a_new_key_of_an_unknown_kind_changes_nothing(files: TlsFiles, first: Issued) -> None:
    """What no library understands is bad files like any others: it must not end the watch, and so the server."""
    tls = Tls(files, clock=ManualClock())
    der = x509.load_pem_x509_certificate(first.cert).public_bytes(Encoding.DER)
    rsa_encryption = bytes.fromhex("06092a864886f70d010101")
    odd = der.replace(rsa_encryption, rsa_encryption[:-1] + b"\x63")
    assert odd != der
    files.cert.write_text(ssl.DER_cert_to_PEM_cert(odd))
    tls.refresh()
    assert "has a public key that cannot be used" in tls.troubles()[0]


def test_an_expired_certificate_is_ill_health(files: TlsFiles) -> None:
    """It is served all the same: some clients do not look, and a closed port helps nobody."""
    clock = ManualClock()
    issue(ends=at(2027)).write(files)
    tls = Tls(files, clock=clock)
    assert tls.troubles() == []
    clock.advance(YEAR_SECONDS)
    assert tls.troubles() == ["the TLS certificate expired at 2027-01-01T00:00:00Z"]


# Bad pairs


def spoiled(files: TlsFiles, first: Issued, second: Issued) -> dict[str, Callable[[], object]]:
    """What is done to a good pair, by what the message then says."""
    now = ManualClock().now_ms() / 1_000
    ended, future = datetime.fromtimestamp(now, UTC), datetime.fromtimestamp(now + 60, UTC)
    return {
        f"--tls-cert {files.cert} cannot be read: No such file or directory": files.cert.unlink,
        f"--tls-key {files.key} cannot be read: No such file or directory": files.key.unlink,
        f"--tls-cert {files.cert} holds no PEM certificate": lambda: files.cert.write_bytes(b""),
        f"--tls-cert {files.cert} holds no PEM certificate (": lambda: files.cert.write_bytes(first.key),
        f"--tls-key {files.key} holds no PEM private key": lambda: files.key.write_bytes(first.cert),
        f"--tls-key {files.key} holds no PEM private key (": lambda: files.key.write_bytes(first.key[:200]),
        "is not the key of the first certificate": lambda: files.key.write_bytes(second.key),
        "must begin with the server's own certificate": lambda: files.cert.write_bytes(second.cert + first.cert),
        f"--tls-key {files.key} is encrypted; write one": lambda: files.key.write_bytes(first.encrypted_key),
        f"--tls-cert {files.cert} expired at 2026-01-01T00:00:00Z": lambda: issue(ends=ended).write(files),
        f"--tls-cert {files.cert} is valid only from 2026-01-01T00:01:00Z": lambda: issue(begins=future).write(files),
    }


def test_bad_pairs_say_what_to_change(files: TlsFiles, first: Issued, second: Issued) -> None:
    """Each names the option and the file; a chain below the certificate is welcome."""
    for message, spoil in spoiled(files, first, second).items():
        first.write(files)
        spoil()
        with pytest.raises(UserError) as refused:
            Tls(files, clock=ManualClock())
        assert message in str(refused.value)
    first.write(files)
    files.cert.write_bytes(first.cert + second.cert)
    Tls(files, clock=ManualClock())


# The program


def test_one_option_without_the_other_is_refused(tmp_path: Path) -> None:
    """The message names the one that is missing, and nothing is made before it is said."""
    result = run("serve", cwd=tmp_path, GAINSIGHT_DESTINATION_TLS_CERT="x.pem")
    assert (result.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "--tls-cert needs --tls-key FILE" in result.stderr
    with pytest.raises(UserError, match="--tls-key needs --tls-cert FILE"):
        TlsFiles.of(None, Path("x.pem"))


def test_serve_speaks_https_and_takes_a_renewed_certificate(
    memory_path: Path, files: TlsFiles, first: Issued, second: Issued
) -> None:
    """The banner shows https, SDKs get their 200, and a certificate that is moved into place is used."""
    data = memory_path / "data"
    data.mkdir()
    write_sources(data / "state.db", [Source(1, "website", "key")])
    ports = ("--ingest", "127.0.0.1:0", "--console", "127.0.0.1:0")
    pair = ("--tls-cert", files.cert, "--tls-key", files.key)
    command = [sys.executable, "-m", "gainsight_destination", "serve", "--data", data, *ports, *pair]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serve:
        try:
            assert serve.stdout is not None
            banner = [serve.stdout.readline() for _ in range(2)]
            url = banner[1].removeprefix("  SDKs send to  ").strip()
            assert url.startswith("https://127.0.0.1:"), banner
            posted = httpx.post(f"{url}/v1/t", content=b'{"writeKey":"key"}', verify=first.client(), trust_env=False)
            assert (posted.status_code, posted.content) == (200, b'{"success":true}')
            replaced(files, second)
            port = int(url.rpartition(":")[2])
            while ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port))) == der(first):
                pass  # the test's own timeout ends it
            health = httpx.get(f"{url}/health", verify=second.client(), trust_env=False)
            assert health.json()["https"] == {"certificateExpires": "2099-01-01T00:00:00Z"}
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(30) == 0
        finally:
            serve.kill()
