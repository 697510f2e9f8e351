"""The command `sandbox`: a simulated tenant on a loopback port until it is stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gainsight_destination.sandbox.sandbox import SandboxOptions

DEFAULT_LISTEN = "127.0.0.1:8090"
DATABASE_NAME = "sandbox.db"


def sandbox(
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="GAINSIGHT_DESTINATION_SANDBOX_LISTEN",
            help="Where it answers. Its control API asks for no key: keep it on loopback.",
        ),
    ] = DEFAULT_LISTEN,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="GAINSIGHT_DESTINATION_SANDBOX_DATA",
            help="Keep the tenant here. Without it, everything is gone at the end.",
        ),
    ] = None,
    access_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="GAINSIGHT_DESTINATION_SANDBOX_ACCESS_KEY",
            help="The Access Key that callers need. Without it, the demo key of the documentation.",
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="GAINSIGHT_DESTINATION_SANDBOX_FAULTS",
            help="Rules that make calls fail, YAML or JSON.",
        ),
    ] = None,
    seed: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="GAINSIGHT_DESTINATION_SANDBOX_SEED",
            help='Companies of a fresh tenant, JSON: {"companies": [{"Name": "Acme", "SfdcAccountId": "001..."}]}.',
        ),
    ] = None,
) -> None:
    """Run a Gainsight simulator to rehearse with, until stopped with Ctrl-C."""
    import asyncio
    import tempfile

    from gainsight_destination.sandbox.sandbox import SandboxOptions
    from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY, Credentials

    host, port = read_address(listen)
    options = SandboxOptions(
        credentials=Credentials(access_key=access_key or DEMO_ACCESS_KEY),
        companies=None if seed is None else read_seed(seed),
    )
    rules = None if faults is None else read_rules(faults)
    with tempfile.TemporaryDirectory(prefix="gainsight-sandbox-") as temporary:
        directory = Path(temporary) if data is None else make_directory(data)
        where = "in a temporary directory; gone at the end" if data is None else str(data.resolve())
        with only_one(directory):
            asyncio.run(serve(host, port, directory / DATABASE_NAME, options, rules, where=where))


async def serve(
    host: str, port: int, database_path: Path, options: "SandboxOptions", rules: Any, *, where: str
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UserError when the port or the rules cannot be had."""
    import asyncio
    import signal

    from gainsight_destination.clock import SystemClock
    from gainsight_destination.errors import UserError
    from gainsight_destination.sandbox.app import create_app
    from gainsight_destination.sandbox.faults import read_faults, set_faults
    from gainsight_destination.sandbox.server import SandboxServer, bind, url_of

    found = None if rules is None else read_faults(rules)
    try:
        listener = bind(host, port)
    except UserError as error:
        raise UserError(f"{error}; choose another address with --listen HOST:PORT") from error
    app = create_app(database_path=database_path, clock=SystemClock(), options=options)
    if found is not None:
        await app.state.sandbox.run(lambda tenant: set_faults(tenant.connection, found))
    server = SandboxServer(app, opened=lambda: welcome(url_of(listener), options.credentials.access_key, where))
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(stop, setattr, server, "should_exit", True)
    await server.serve(sockets=[listener])


def welcome(url: str, access_key: str, where: str) -> None:
    """Tell the person what to set in the destination. A key of their own is not repeated."""
    from gainsight_destination.sandbox.tenant import DEMO_ACCESS_KEY

    key = access_key if access_key == DEMO_ACCESS_KEY else "the one you gave"
    typer.echo("The Gainsight sandbox is running. Stop it with Ctrl-C.")
    typer.echo(f"  Look inside   {url}/")
    typer.echo(f"  domain        {url}")
    typer.echo(f"  accessKey     {key}")
    typer.echo(f"  Data          {where}")


def make_directory(path: Path) -> Path:
    """The directory, created if it is not there. Raises UserError."""
    from gainsight_destination.errors import UserError

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep the tenant in {path}: {error.strerror or error}") from error
    return path


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold a directory's tenant: two sandboxes on one would count its quota twice. Raises UserError at once."""
    import fcntl

    from gainsight_destination.errors import UserError

    with (directory / "sandbox.lock").open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"another sandbox keeps its tenant in {directory}; stop it, or name another directory with --data"
            raise UserError(text) from None
        yield


def read_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; an IPv6 host stands in brackets. Raises UserError."""
    from gainsight_destination.errors import UserError

    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UserError(f"{text!r} is not an address; write HOST:PORT, for example {DEFAULT_LISTEN}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def read_seed(path: Path) -> list[dict[str, Any]]:
    """Companies from a JSON file. Raises UserError."""
    import msgspec

    from gainsight_destination.errors import UserError

    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[dict[str, Any]]])["companies"]
    except OSError as error:
        raise UserError(f"cannot read the seed file {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        text = f'the seed file {path} must be JSON like {{"companies": [{{"Name": "Acme"}}]}}'
        raise UserError(text) from error


def read_rules(path: Path) -> Any:
    """What a faults file holds; JSON is YAML as well. Raises UserError."""
    import yaml

    from gainsight_destination.errors import UserError

    try:
        return yaml.safe_load(path.read_text("utf-8")) or []
    except OSError as error:
        raise UserError(f"cannot read the faults file {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the faults file {path} is not YAML: {error}") from error
