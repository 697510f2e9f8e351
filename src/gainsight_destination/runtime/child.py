"""Starts the engine's process, before there is anything else: its imports take as long as all that comes first."""

from collections.abc import Sequence
from subprocess import PIPE, Popen


def start_child(command: Sequence[str], pass_fds: Sequence[int]) -> "Popen[bytes]":
    """Run the engine; it waits to be told that it may begin (see runtime/link.py).

    Of its own session, so that Ctrl-C reaches it only through us, after the last request was stored.
    """
    return Popen(command, stdin=PIPE, pass_fds=tuple(pass_fds), start_new_session=True)  # noqa: S603 - our own program


def end_child(process: "Popen[bytes]") -> None:
    """End it if it still runs: nothing came of this start."""
    if process.poll() is None:
        process.kill()
        process.wait()
