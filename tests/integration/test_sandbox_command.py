"""The command `sandbox` starts a tenant as its options say, and tells people what is wrong with them."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gainsight_destination.errors import UserError
from gainsight_destination.sandbox.command import make_directory, only_one, read_address, read_rules, read_seed
from gainsight_destination.sandbox.faults import read_faults
from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY

PROGRAM = "import typer; from gainsight_destination.sandbox.command import sandbox; typer.run(sandbox)"
KEY = "00000000-0000-4000-8000-000000000000"


@contextmanager
def sandbox_process(*arguments: str, end: signal.Signals = signal.SIGTERM) -> Iterator[tuple[str, list[str]]]:
    """A running command: its URL and the lines of its welcome."""
    command = [sys.executable, "-u", "-c", PROGRAM, "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(5)]
            yield lines[1].split()[-1].rstrip("/"), lines
            process.send_signal(end)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_the_command_keeps_the_tenant_in_its_directory(tmp_path: Path) -> None:
    """Seed and faults come from files; what was written is there after a restart; both signals end it with code 0."""
    seed, faults, data = tmp_path / "seed.json", tmp_path / "faults.yaml", tmp_path / "data"
    seed.write_text(json.dumps({"companies": [{"Name": "Only one"}]}))
    faults.write_text("rules:\n- match: {path: /v1.0/api/people, nth: 1}\n  fault: 503\n")
    with sandbox_process("--data", str(data), "--seed", str(seed), "--faults", str(faults)) as (url, lines):
        assert DEMO_ACCESS_KEY in lines[3]
        with httpx.Client(base_url=url, headers={"accesskey": DEMO_ACCESS_KEY}, trust_env=False) as client:
            assert client.get("/v1.0/api/people").status_code == 503
            assert client.put("/v1.0/api/people", json={"Email": "a@x.example"}).status_code == 200
    with sandbox_process("--data", str(data), end=signal.SIGINT) as (url, _):
        objects = httpx.get(f"{url}/_sandbox/state", trust_env=False).json()["objects"]
    assert [row["Name"] for row in objects["Company"]] == ["Only one"]
    assert [row["Email"] for row in objects["person"]] == ["a@x.example"]


def test_two_sandboxes_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second is refused at once; when the first has ended, the directory is free."""
    with only_one(tmp_path), pytest.raises(UserError, match="another sandbox keeps its tenant in"), only_one(tmp_path):
        pass
    with sandbox_process("--data", str(tmp_path)), pytest.raises(UserError), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_a_key_of_ones_own_is_not_printed() -> None:
    """It may be a real one."""
    with sandbox_process("--access-key", KEY) as (url, lines):
        assert KEY not in "".join(lines)
        answer = httpx.get(f"{url}/v1.0/api/people", headers={"accesskey": KEY}, trust_env=False)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8090", ("127.0.0.1", 8090)), ("localhost:0", ("localhost", 0)), ("[::1]:80", ("::1", 80))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    """HOST:PORT, an IPv6 host in brackets."""
    assert read_address(text) == address


@pytest.mark.parametrize("text", ["", "8090", ":8090", "host:", "host:x", "host:65536", "host:²"])
def test_what_is_no_address_is_said(text: str) -> None:
    """The message shows how one looks."""
    with pytest.raises(UserError, match=r"127\.0\.0\.1:8090"):
        read_address(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"companies": {}}', '{"companies": ["a"]}', "\x80"])
def test_a_seed_file_that_is_none(tmp_path: Path, text: str) -> None:
    """The message names the file and shows how one looks."""
    path = tmp_path / "seed.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"seed\.json must be JSON like"):
        read_seed(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """The message names the file."""
    for read in (read_seed, read_rules):
        with pytest.raises(UserError, match="nothing"):
            read(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot keep the tenant"):
        make_directory(tmp_path / "file" / "data")


def test_a_faults_file_may_be_yaml_or_json(tmp_path: Path) -> None:
    """Both say the same; an empty file has no rules; what is no YAML is said."""
    path = tmp_path / "faults"
    path.write_text("hold_seconds: 2\nrules:\n- fault: 429\n  times: 3\n  match: {from: 2, to: 4}\n")
    from_yaml = read_faults(read_rules(path))
    path.write_text('{"hold_seconds": 2, "rules": [{"fault": "429", "times": 3, "match": {"from": 2, "to": 4}}]}')
    assert read_faults(read_rules(path)) == from_yaml
    path.write_text("")
    assert read_faults(read_rules(path)).rules == ()
    path.write_text("a: [")
    with pytest.raises(UserError, match="is not YAML"):
        read_rules(path)


@pytest.mark.parametrize(
    ("option", "content"),
    [
        ("--faults", "rules: [{fault: explode}]"),
        ("--faults", "{"),
        ("--seed", "{"),
        ("--seed", '{"companies": [{"Nonsense": 1}]}'),
    ],
)
def test_a_file_that_makes_no_sense_ends_it(tmp_path: Path, option: str, content: str) -> None:
    """A wrong file is a UserError before the port is open."""
    path = tmp_path / "file"
    path.write_text(content)
    arguments = ["--listen", "127.0.0.1:0", option, str(path)]
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=30)
    assert ran.returncode != 0
    assert "UserError" in ran.stderr or "InvalidSettingsError" in ran.stderr
    assert "running" not in ran.stdout
