"""The command `sandbox` starts a tenant as its options say, and stops it when asked."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY

PROGRAM = "import typer; from gainsight_destination.sandbox.command import sandbox; typer.run(sandbox)"
COMPANIES = {"companies": [{"Name": "Only", "SfdcAccountId": "001only"}]}


@contextmanager
def sandbox(*arguments: str) -> Iterator[tuple[str, str]]:
    """Run the command on a free port; gives its URL and what it said. It must stop by itself at SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PYTHONUNBUFFERED": "1", "PATH": ""},
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "Data" in line:
                break
        url = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert url is not None, said
        yield url[0], said
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 0, rest
        process.stdout.close()


def ping(url: str, key: str) -> int:
    return httpx.get(f"{url}/v1.0/api/people", headers={"accesskey": key}, trust_env=False).status_code


def rows(url: str, name: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/_sandbox/state", params={"object": name}, trust_env=False)
    return list(answer.json()["objects"][name])


def test_it_starts_without_options() -> None:
    """Twelve Companies, the documented key, and a word about where to look."""
    with sandbox() as (url, said):
        assert ping(url, DEMO_ACCESS_KEY) == 200
        assert DEMO_ACCESS_KEY in said
        assert len(rows(url, "Company")) == 12


def test_the_options(tmp_path: Path) -> None:
    """A key of one's own is not repeated; Companies come from the seed, rules from the faults file; data stays."""
    (tmp_path / "seed.json").write_text(json.dumps(COMPANIES))
    (tmp_path / "faults.yaml").write_text("rules:\n  - fault: 429\n    match: {method: GET, nth: 2}\n")
    options = ["--data", str(tmp_path / "data"), "--access-key", "my-own-key", "--seed", str(tmp_path / "seed.json")]
    with sandbox(*options, "--faults", str(tmp_path / "faults.yaml")) as (url, said):
        assert "my-own-key" not in said
        assert [ping(url, "my-own-key") for _ in range(3)] == [200, 429, 200]
        before = rows(url, "Company")
        assert [row["Name"] for row in before] == ["Only"]
    with sandbox(*options) as (url, _):
        assert rows(url, "Company") == before


@pytest.mark.parametrize(
    ("option", "content"),
    [
        ("--faults", "rules: [{fault: explode}]"),
        ("--faults", "{"),
        ("--seed", "{"),
        ("--seed", '{"companies": [{"Nonsense": 1}]}'),
        ("--seed", "[]"),
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


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", ":80"])
def test_an_address_that_is_none_ends_it(listen: str) -> None:
    """The address is checked before anything is made."""
    arguments = ["--listen", listen]
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=30)
    assert ran.returncode != 0
    assert "is not an address" in ran.stderr
