"""How `serve` begins and ends for the person at the keyboard, and what it says when it cannot begin."""

import os
import pty
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.test_cli_program import ENVIRON, FILE, run

ANYWHERE = ("--ingest", "127.0.0.1:0", "--console", "127.0.0.1:0")


def test_one_address_for_both_ports_is_refused(tmp_path: Path) -> None:
    """The public and the private port cannot be one, and nothing is made before that is said."""
    result = run("serve", "--ingest", "127.0.0.1:9", "--console", "127.0.0.1:9", cwd=tmp_path)
    assert result.returncode == 2
    assert "give them different ports" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--ingest", "--console", "--listen"])
def test_a_port_in_use_names_the_option_to_change(tmp_path: Path, option: str) -> None:
    """Who meets an occupied port is told how to choose another."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = {"--ingest": "--console", "--console": "--ingest"}.get(option)
        command = ("serve", other, "127.0.0.1:0") if other else ("sandbox",)
        result = run(*command, option, address, cwd=tmp_path)
    assert result.returncode == 2
    assert f"choose another address with {option} HOST:PORT" in result.stderr


@pytest.mark.parametrize("command", [("serve", *ANYWHERE), ("status",), ("workspace", "apply", "-f", "w.yaml")])
def test_a_data_directory_that_is_a_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    """It is wrong input, told in a sentence."""
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "w.yaml").write_text(FILE)
    result = run(*command, "--data", "taken", cwd=tmp_path, **ENVIRON)
    assert result.returncode == 2, result.stderr
    assert "taken is a file" in result.stderr


def test_a_lost_secrets_key_is_told_before_anything_is_announced(tmp_path: Path) -> None:
    """`serve` that could deliver nothing does not say that it runs."""
    assert run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=FILE, **ENVIRON).returncode == 0
    (tmp_path / "data" / "secret.key").unlink()
    result = run("serve", *ANYWHERE, cwd=tmp_path)
    assert result.returncode == 3
    assert "the key of the stored secrets is missing" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", [("status",), ("serve", *ANYWHERE)])
@pytest.mark.parametrize("damage", [b"this is no database " * 500, None])
def test_a_damaged_database_is_told_in_a_sentence(
    tmp_path: Path, command: tuple[str, ...], damage: bytes | None
) -> None:
    """A file that is none or is torn ends with 3 and the advice to restore a backup, without a traceback."""
    assert run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=FILE, **ENVIRON).returncode == 0
    state = tmp_path / "data" / "state.db"
    whole = state.read_bytes()
    state.write_bytes(damage or whole[:100] + b"\xff" * (len(whole) - 100))
    (tmp_path / "data" / "log.db").touch()
    result = run(*command, cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "is not a database; restore a backup" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_banner_comes_first_and_the_end_is_said(tmp_path: Path) -> None:
    """On a terminal: first where everything is, then log lines; Ctrl-C ends with a sentence."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gainsight_destination", "serve", "--data", "data", *ANYWHERE]
    serve = subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while b"in force" not in shown:  # the engine's first line
            shown += os.read(ours, 4096)
        serve.send_signal(signal.SIGINT)
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # Linux's way to say that nobody writes any more
                break
        assert serve.wait(30) == 0
    finally:
        serve.kill()
        serve.wait()
        os.close(ours)
    lines = shown.decode().splitlines()
    assert lines[0] == "gainsight-destination is running. Stop it with Ctrl-C."
    assert lines[-1] == "Stopped; nothing is lost."
