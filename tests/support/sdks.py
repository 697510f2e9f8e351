"""Real Segment SDKs, as their registries have them: installed once, then run as programs that use them.

tests/sdk says which, and in which versions. Each lock file is installed into a folder of its own under `.sdks`, again
when the file changes. What a machine needs for that and lacks is a reason to skip; with CI=true it is a failure.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

ROOT: Final = Path(__file__).parents[2]
RECIPES: Final = ROOT / "tests" / "sdk"
INSTALLED: Final = ROOT / ".sdks"
OLDEST_NODE: Final = 18
"""The Node of Debian 12. The SDKs ask for 20, and run on this one."""

LIMITED_WRITE_KEY: Final = "limited-write-key"
"""Of a source that may send 20 messages a second."""

Call = Mapping[str, Any]
"""A message of the Segment Spec with its `type`, as it is to arrive."""


def lacking(what: str, packages: str) -> NoReturn:
    """This machine lacks something: no test of the SDKs that need it."""
    reason = f"{what} is needed: apt-get install {packages}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


# -- installing


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process at a time: tests run in several."""
    INSTALLED.mkdir(exist_ok=True)
    with (INSTALLED / f"{name}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def installed(name: str, files: Sequence[str], install: Callable[[Path], None], recipes: Path = RECIPES) -> Path:
    """The folder into which these files of tests/sdk were installed, which is done now if it was not."""
    folder, recipe = INSTALLED / name, [recipes / file for file in files]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in recipe)).hexdigest()
    stamp = folder / f".installed-{digest}"
    with alone(name):
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for path in recipe:
                shutil.copy(path, folder)
            install(folder)
            stamp.touch()
    return folder


def run(command: Sequence[str], folder: Path, **environment: str) -> None:
    ran = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stdout}{ran.stderr}"


def python_with(group: str) -> Path:
    """A Python that has one group of tests/sdk/pyproject.toml."""

    def install(folder: Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        command = [str(uv), "sync", "--quiet", "--locked", "--python", sys.executable, "--only-group", group]
        run(command, folder, UV_PROJECT_ENVIRONMENT=str(folder / ".venv"), VIRTUAL_ENV="")

    return installed(group, ["pyproject.toml", "uv.lock"], install) / ".venv" / "bin" / "python"


def node() -> str:
    program = shutil.which("node")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else ""
    if program is None or int(re.findall(r"\d+", version)[0]) < OLDEST_NODE:
        lacking(f"Node {OLDEST_NODE} or newer", "nodejs npm")
    return program


def node_modules(name: str = "node", recipes: Path = RECIPES) -> Path:
    """The folder with what package-lock.json says, that of tests/sdk or of another folder."""
    if not shutil.which("npm"):
        lacking("npm", "nodejs npm")
    files = ["package.json", "package-lock.json", ".npmrc"]
    return installed(name, files, lambda folder: run(["npm", "ci", "--silent"], folder), recipes) / "node_modules"


def axe() -> str:
    """The script of axe-core, which looks at a page as somebody does who cannot see it."""
    return (node_modules("axe", ROOT / "tests" / "console") / "axe-core" / "axe.min.js").read_text("utf-8")


# -- running


@dataclass(frozen=True)
class ServerSdk:
    """An SDK for servers, and the options that make a short test of it."""

    name: str
    group: str = ""
    """Of tests/sdk/pyproject.toml; without one, it is a package of Node."""
    host: str = "host"
    """The option that points it at another host than its maker's."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def command(self) -> list[str]:
        if self.group:
            return [str(python_with(self.group)), str(RECIPES / "send.py"), self.name]
        return [node(), "--require", str(RECIPES / "guard" / "guard.cjs"), str(RECIPES / "send.cjs"), self.name]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(RECIPES / "guard")} if self.group else {"NODE_PATH": str(node_modules())}

    def send(
        self, calls: Sequence[Call], elsewhere: Path, *, write_key: str, url: str | None = None, **options: Any
    ) -> "Sent":
        """Make the calls, and wait until the program that made them has ended. Without `url` the host is not set."""
        host = {} if url is None else {self.host: url}
        task = {"writeKey": write_key, "options": {**self.options, **host, **options}, "calls": calls}
        environment = {**os.environ, **self.environment(), "ELSEWHERE": str(elsewhere)}
        elsewhere.touch()
        ran = subprocess.run(
            self.command(), input=json.dumps(task), env=environment, capture_output=True, text=True, timeout=60
        )
        return Sent(ran.returncode, ran.stderr, elsewhere.read_text().split())


@dataclass(frozen=True)
class Sent:
    """How a program that sent something ended: its exit code and words, and the foreign hosts that it tried."""

    code: int
    words: str
    elsewhere: list[str]
