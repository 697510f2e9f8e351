"""What processes take, as Linux tells it, and measuring in processes of their own."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def clients() -> ProcessPoolExecutor:
    """One process beside this one, started afresh."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def afresh(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a process of its own, so that neither memory nor caches of earlier work show."""
    with clients() as executor:
        return executor.submit(function, *args, **kwargs).result()


def rss_mb(process_id: int | str = "self") -> float:
    """Resident memory now."""
    return _status_mb(process_id, "VmRSS:")


def peak_rss_mb(process_id: int | str = "self") -> float:
    """The most resident memory the process ever had."""
    return _status_mb(process_id, "VmHWM:")


def _status_mb(process_id: int | str, key: str) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1_024
    return 0.0  # it has ended


def pss_mb(process_id: int) -> float:
    """Resident memory with pages that processes share divided among them."""
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1_024
    return 0.0


def cpu_seconds(process_id: int) -> float:
    """CPU time of a process so far, all threads, user and system."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree(process_id: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [process_id]
    for known in found:
        found += children.get(known, [])
    return found
