"""Importing straight from S3: a real server, the real library, the real command."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from tests.support.imports import Importer, lines
from tests.support.s3 import BUCKET, FaultyS3, breaking, refusing, running_s3

from gainsight_destination.archive import s3 as product
from gainsight_destination.archive.s3 import S3

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "2",
}
MARCH_1_MS = 1_772_323_200_000
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRON.items():
            patch.setenv(name, value)
        with running_s3() as running:
            yield running


@pytest.fixture
def s3(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    server.empty()
    return server


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path / "data", capsys)


def test_an_archive_goes_in_straight_from_s3(s3: FaultyS3, run: Importer) -> None:
    """Every object of a prefix and no other, gzipped or inflated, whatever its key is made of, in the order of keys."""
    s3.put("logs/a b/1.gz", gzip.compress(lines(0, 3)), ContentEncoding="gzip")
    s3.put("logs/a b/2.gz", lines(3, 3), ContentEncoding="gzip")
    s3.put("logs/ü%41/#?&+ '.gz", gzip.compress(lines(6, 3)))
    s3.put("logs/ü%41/empty.gz", b"")
    for key in ("logs/.hidden/a.gz", "logs/notes.md", "logs/folder/", "logs-of-others/a.gz"):
        s3.put(key, lines(100, 1))
    ran = run(f"s3://{BUCKET}/logs", "--json")
    assert (ran.code, ran.json["files"], ran.json["messages"]) == (0, 4, 9), ran.err
    assert run.ids() == [f"m{n}" for n in range(9)]
    again = run(f"s3://{BUCKET}/logs/", f"s3://{BUCKET}/logs/a b/1.gz")
    assert "Nothing new: 4 files in already" in again.out


def test_one_object_is_read_whatever_it_is_called(s3: FaultyS3, run: Importer) -> None:
    """An address that is an object means that object, also when others begin alike."""
    s3.put("one", lines(0, 1))
    s3.put("one/two.gz", lines(1, 1))
    s3.put("oneself.gz", lines(2, 1))
    assert run(f"s3://{BUCKET}/one").code == 0
    assert run.ids() == ["m0"]


def test_listings_are_read_page_by_page(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix with more keys than the server puts on a page gives all of them, in order."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    for number in range(10):
        s3.put(f"many/{number}.gz", b"{}")
    assert [item.key for item in S3().objects_of(f"{BUCKET}/many/")] == [f"many/{number}.gz" for number in range(10)]


def test_a_line_without_id_gets_the_same_one_from_s3_and_from_disk(s3: FaultyS3, tmp_path: Path, run: Importer) -> None:
    """A copy of the archive adds nothing: ids are made of folder, file, line and content, wherever they are."""
    body = b'{"type":"track"}\n{"type":"track"}\n'
    local = tmp_path / "copy" / "1772323200000" / "f.gz"
    local.parent.mkdir(parents=True)
    local.write_bytes(body)
    address = s3.put("deep/segment-logs/s1/1772323200000//f.gz", gzip.compress(body), ContentEncoding="gzip")
    assert run(address).code == run(str(local)).code == 0
    found = run.ids()
    assert found[:2] == found[2:]
    assert len(set(found)) == 2


def test_large_objects_are_read_in_parts(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request asks for more than a part, each byte is asked for once, and the object comes out as it is."""
    monkeypatch.setattr(product, "PART_BYTES", 300_000)
    body = os.urandom(1_000_000)
    s3.put("large.gz", body)
    (item,) = S3().objects_of(f"{BUCKET}/large.gz")
    with item.open() as reader:
        assert reader.read() == body
    assert s3.ranges == [
        f"bytes={begin}-{min(begin + 300_000, 1_000_000) - 1}" for begin in range(0, 1_000_000, 300_000)
    ]
    with item.open() as reader:
        reader.seek(700_001)
        assert reader.read() == body[700_001:]


def test_bodies_that_break_off_are_asked_for_again(s3: FaultyS3, run: Importer) -> None:
    """A connection that breaks in the middle of a body costs nothing; one that always does ends the run."""
    address = s3.put("a.gz", lines(0, 100))
    s3.fault = breaking(times=2)
    assert run(address).code == 0
    assert run.ids() == [f"m{n}" for n in range(100)]
    s3.fault = breaking(times=-1)
    ran = run(address, "--restart")
    assert ran.code == 3
    assert "breaks off again and again" in ran.err
    assert "0 messages are in; run the same command again to go on" in ran.err


def test_objects_that_change_or_vanish_are_told_and_the_rest_goes_in(
    s3: FaultyS3, run: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part is ever of another version than the first; the next run reads such an object from its start."""
    monkeypatch.setattr(product, "PART_BYTES", 2_000)
    for name, first in (("a", 0), ("b", 50), ("c", 100)):
        s3.put(f"x/{name}.gz", lines(first, 50))

    def meanwhile(app: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("HTTP_RANGE", "").startswith("bytes=2000-"):
            s3.fault = None
            s3.put("x/a.gz", lines(1_000, 50))
            s3.client.delete_object(Bucket=BUCKET, Key="x/b.gz")
        return app(environ, start_response)

    s3.fault = meanwhile
    ran = run(f"s3://{BUCKET}/x/", "--json")
    assert (ran.code, ran.json["files"], ran.json["filesIncomplete"], ran.json["badByCode"]) == (
        1,
        1,
        2,
        {"unreadable": 2},
    )
    assert [bad["file"][-4:] for bad in ran.json["badLines"]] == ["a.gz", "b.gz"]
    assert "changed since it was listed; run the same command again" in ran.json["badLines"][0]["reason"]
    assert "gone since it was listed" in ran.json["badLines"][1]["reason"]
    assert run.ids()[-50:] == [f"m{n}" for n in range(100, 150)]
    assert run(f"s3://{BUCKET}/x/").code == 0
    assert run.ids()[-50:] == [f"m{n}" for n in range(1_000, 1_050)]


def test_kill_in_the_middle_of_an_object_costs_nothing(s3: FaultyS3, run: Importer) -> None:
    """After kill -9 the same command goes on inside of the object, and every message is in once."""
    s3.put("x/a.ndjson", lines(0, 4_000, padding="x" * 600))
    s3.put("x/b.ndjson", lines(4_000, 10))
    stalled, go_on = Event(), Event()
    address = f"s3://{BUCKET}/x/"

    def stall(app: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].endswith("b.ndjson"):
            stalled.set()
            go_on.wait(60)
        return app(environ, start_response)

    s3.fault = stall
    command = [sys.executable, "-m", "gainsight_destination", "import", address, "--source", "website"]
    command += ["--data", str(run.data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert stalled.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    go_on.set()
    s3.fault = None
    before = len(run.ids())
    assert 0 < before < 4_000
    ran = run(address, "--json")
    assert (ran.code, ran.json["messages"]) == (0, 4_010 - before)
    assert run.ids() == [f"m{n}" for n in range(4_010)]


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "words"),
    [
        ("400 Bad Request", "ExpiredToken", 2, "the credentials have expired; renew them"),
        ("403 Forbidden", "AccessDenied", 2, "they need s3:ListBucket on the bucket, s3:GetObject"),
        ("403 Forbidden", "SignatureDoesNotMatch", 2, "the secret access key is wrong"),
        ("403 Forbidden", "RequestTimeTooSkewed", 2, "this machine's clock is wrong"),
        ("301 Moved Permanently", "PermanentRedirect", 2, "another region; set AWS_DEFAULT_REGION"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", 2, "another region; set AWS_DEFAULT_REGION"),
        ("503 Slow Down", "SlowDown", 3, "S3 does not serve it now; try again later"),
        ("418 I'm a teapot", "Teapot", 2, "S3 refuses the request (it says Teapot: Said by a test)"),
    ],
)
def test_refusals_say_what_to_do(
    s3: FaultyS3, run: Importer, status: str, code: str, exit_code: int, words: str
) -> None:
    """What would be the same for every object ends the run, whether it comes with the list or in the middle."""
    address = s3.put("a.gz", lines(0, 1))
    s3.fault = refusing(status, code)
    ran = run(address)
    assert (ran.code, words in ran.err) == (exit_code, True), ran.err
    assert "Traceback" not in ran.err


def test_expired_credentials_in_the_middle_keep_what_is_in(
    s3: FaultyS3, run: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a run says how much is in, in JSON too, and goes on with new credentials."""
    monkeypatch.setattr("gainsight_destination.archive.take_in.GROUP_BYTES", 1)
    monkeypatch.setattr("gainsight_destination.archive.take_in.ENTRY_LINES", 10)
    s3.put("x/a.gz", lines(0, 20))
    s3.put("x/b.gz", lines(20, 20))

    def expire(app: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].endswith("b.gz"):
            return refusing("400 Bad Request", "ExpiredToken")(app, environ, start_response)
        return app(environ, start_response)

    s3.fault = expire
    ran = run(f"s3://{BUCKET}/x/", "--json")
    assert (ran.code, ran.json["messages"], ran.json["files"]) == (2, 20, 1)
    assert "expired" in ran.json["stopped"]
    assert "20 messages are in; run the same command again to go on" in ran.err
    s3.fault = None
    assert run(f"s3://{BUCKET}/x/").code == 0
    assert run.ids() == [f"m{n}" for n in range(40)]


def test_archived_objects_are_told_and_the_others_read(s3: FaultyS3, run: Importer) -> None:
    """An object in Glacier has to be restored, and keeps nothing else out."""
    s3.put("x/a.gz", lines(0, 1), StorageClass="GLACIER")
    s3.put("x/b.gz", lines(1, 1))
    ran = run(f"s3://{BUCKET}/x/")
    assert ran.code == 1
    assert "restore it first" in ran.err
    assert run.ids() == ["m1"]


def test_a_user_without_rights_is_told_which_to_ask_for(
    s3: FaultyS3, run: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own verdict on a user without policies, and on a key it does not know."""
    import boto3

    address = s3.put("a.gz", lines(0, 1))
    iam = boto3.client("iam", endpoint_url=s3.endpoint)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    httpx.post(f"{s3.endpoint}/moto-api/reset-auth", content="0")
    try:
        unknown = run(address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        denied = run(address)
    finally:
        httpx.post(f"{s3.endpoint}/moto-api/reset-auth", content="inf")
    assert (unknown.code, denied.code) == (2, 2)
    assert "the access key is not known there" in unknown.err
    assert "they need s3:ListBucket" in denied.err


def test_what_is_wrong_before_anything_is_asked(
    s3: FaultyS3, run: Importer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Missing buckets, prefixes, credentials, profiles and servers: a sentence each, and nothing is made."""
    assert "there is no such bucket" in run("s3://nowhere/x/").err
    assert f"there is no archive file in s3://{BUCKET}/x/" in run(f"s3://{BUCKET}/x").err
    assert "names no bucket" in run("s3:///x").err
    assert "Invalid bucket name" in run("s3://with space/x").err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    unreached = run(f"s3://{BUCKET}/x/")
    assert (unreached.code, "S3 cannot be reached" in unreached.err) == (3, True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a server")
    assert "look at AWS_ENDPOINT_URL" in run(f"s3://{BUCKET}/x/").err
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_PROFILE", "gone")
    assert "The config profile (gone) could not be found" in run(f"s3://{BUCKET}/x/").err
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    without = run(f"s3://{BUCKET}/x/")
    assert (without.code, "set AWS_ACCESS_KEY_ID" in without.err) == (2, True)
    assert not (run.data / "log.db").exists()


def test_a_profile_gives_credentials_and_server(
    s3: FaultyS3, run: Importer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The usual files of ~/.aws are read."""
    address = s3.put("a.gz", lines(0, 1))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[profile archive]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\n")
    (tmp_path / "credentials").write_text("[archive]\naws_access_key_id = test\naws_secret_access_key = test\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "archive")
    assert run(address).code == 0
    assert run.ids() == ["m0"]


def test_without_the_library_the_way_to_it_is_told(run: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product works without boto3; who names S3 is told how to get it."""
    monkeypatch.delitem(sys.modules, "gainsight_destination.archive.s3")
    monkeypatch.setitem(sys.modules, "boto3", None)
    ran = run("s3://bucket/x/")
    assert ran.code == 2
    assert "pip install boto3" in ran.err


def test_days_outside_of_the_window_are_not_even_asked_for(s3: FaultyS3, run: Importer) -> None:
    """Segment's day folders are skipped by their names, but for a day before and after."""
    for day in range(10):
        at = f"2026-03-{day + 1:02}T12:00:00Z"
        s3.put(f"segment-logs/s1/{MARCH_1_MS + day * DAY_MS}/f.gz", lines(day * 10, 2, receivedAt=at))
    ran = run(f"s3://{BUCKET}/segment-logs/s1/", "--since", "2026-03-04", "--until", "2026-03-05", "--json")
    assert (ran.code, ran.json["filesOutside"], ran.json["files"], ran.json["outside"]) == (0, 6, 4, 4)
    assert run.ids() == ["m30", "m31", "m40", "m41"]
    assert len(s3.ranges) == 4
