"""Lets a Python process reach this machine alone. On PYTHONPATH, Python runs it before anything else.

What it tries to reach elsewhere is refused, and written into the file named by ELSEWHERE, a host a line.
"""

import ipaddress
import os
import sys
from typing import Any

WATCHED = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0}
"""Audit events of the interpreter, and which of their arguments says whom it is about."""


def is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in WATCHED:
        return
    whom = arguments[WATCHED[event]]
    host = whom[0] if isinstance(whom, tuple) else whom
    if host is None or is_here(os.fsdecode(host)):
        return
    with open(os.environ["ELSEWHERE"], "a") as file:
        file.write(f"{os.fsdecode(host)}\n")
    raise ConnectionRefusedError(f"{os.fsdecode(host)} is not this machine")


sys.addaudithook(watch)
