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
from tests.support.system import children, free_port, healthy, wait_until

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


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_start_that_is_cut_short_leaves_nothing_behind(tmp_path: Path, end: signal.Signals) -> None:
    """Killed or asked to stop while its engine is still importing: the next start has both ports at once."""
    ports = free_port(), free_port()
    command = [sys.executable, "-m", "gainsight_destination", "serve"]
    command += ["--ingest", f"127.0.0.1:{ports[0]}", "--console", f"127.0.0.1:{ports[1]}"]
    for _ in range(2):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cut_short:
            (engine,) = wait_until(lambda pid=cut_short.pid: children(pid), "the engine", 60)
            cut_short.send_signal(end)
            assert cut_short.wait(30) == (0 if end is signal.SIGTERM else -end)
        wait_until(lambda pid=engine: not Path(f"/proc/{pid}").exists(), "the end of the engine", 2)
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as last:
        wait_until(lambda: all(healthy(f"http://127.0.0.1:{port}/health") for port in ports), "both ports", 60)
        last.send_signal(signal.SIGTERM)
        assert last.wait(30) == 0


def test_a_reference_without_braces_is_no_write_key(tmp_path: Path) -> None:
    """`$NAME` would be the key itself, and every message would be nobody's."""
    file = FILE.replace("${WEBSITE_WRITE_KEY}", "$WEBSITE_WRITE_KEY")
    assert file != FILE
    result = run("workspace", "check", "-f", "-", cwd=tmp_path, stdin=file, **ENVIRON)
    assert result.returncode == 1
    assert "a reference to the environment has braces" in result.stderr


def test_export_writes_over_nothing_by_itself(tmp_path: Path) -> None:
    """A file that is there stays as it is, and without data there is nothing to export."""
    kept = tmp_path / "kept.yaml"
    kept.write_text("# valuable")
    nothing = run("workspace", "export", "-f", "other.yaml", cwd=tmp_path)
    assert (nothing.returncode, "there is no data" in nothing.stderr) == (2, True)
    assert run("workspace", "apply", "-f", "-", cwd=tmp_path, stdin=FILE, **ENVIRON).returncode == 0
    refused = run("workspace", "export", "-f", "kept.yaml", cwd=tmp_path)
    assert (refused.returncode, kept.read_text()) == (2, "# valuable")
    assert "--force" in refused.stderr
    written = run("workspace", "export", "-f", "kept.yaml", "--force", cwd=tmp_path)
    assert (written.returncode, "Written to kept.yaml" in written.stderr) == (0, True)
    assert "website" in kept.read_text()
