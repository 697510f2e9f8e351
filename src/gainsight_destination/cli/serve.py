"""The command `serve`."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gainsight_destination.runtime.ingest_process import Started

DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", envvar="GAINSIGHT_DESTINATION_DATA", help="Where everything is kept.")
]
RetentionDaysOption = Annotated[
    float,
    typer.Option(
        "--log-retention-days",
        min=0,
        envvar="GAINSIGHT_DESTINATION_LOG_RETENTION_DAYS",
        help="Keep received messages this long after they were read.",
    ),
]
RetentionGbOption = Annotated[
    float,
    typer.Option(
        "--log-retention-gb",
        min=0,
        envvar="GAINSIGHT_DESTINATION_LOG_RETENTION_GB",
        help="Keep at most this much of them (10^9 bytes). What is not read yet is always kept.",
    ),
]
MaxBacklogOption = Annotated[
    float,
    typer.Option(
        "--max-backlog-gb",
        min=0,
        envvar="GAINSIGHT_DESTINATION_MAX_BACKLOG_GB",
        help="Answer 429 while more than this waits to be read by the engine (10^9 bytes); 0 sets no bound.",
    ),
]
MinFreeDiskOption = Annotated[
    float | None,
    typer.Option(
        "--min-free-disk-gb",
        min=0,
        envvar="GAINSIGHT_DESTINATION_MIN_FREE_DISK_GB",
        help="Answer 429 while less than this is free on the volume of the data directory (10^9 bytes); 0 sets no"
        " bound. Unless set: 1, or a tenth of a volume that is smaller than 10.",
    ),
]
MaxConnectionsOption = Annotated[
    int,
    typer.Option(
        "--max-connections",
        min=1,
        envvar="GAINSIGHT_DESTINATION_MAX_CONNECTIONS",
        help="Open connections of senders; more are told to come later. The limit on open files is raised as needed.",
    ),
]


def serve(
    data: DataOption = Path("data"),
    workspace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="GAINSIGHT_DESTINATION_WORKSPACE",
            help="A workspace.yaml to apply before starting.",
        ),
    ] = None,
    ingest: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", envvar="GAINSIGHT_DESTINATION_INGEST", help="The public port, for Segment SDKs."
        ),
    ] = "127.0.0.1:8080",
    console: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            envvar="GAINSIGHT_DESTINATION_CONSOLE",
            help="The private port: the web console, its API, health and metrics.",
        ),
    ] = "127.0.0.1:8081",
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="GAINSIGHT_DESTINATION_PUBLIC_URL",
            help="Where SDKs reach the public port: https://HOST[:PORT][/PREFIX]. Settings documents name it; without "
            "it they name the host that was asked for. Set it when a proxy is in front.",
        ),
    ] = None,
    console_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="GAINSIGHT_DESTINATION_CONSOLE_URL",
            help="Where people reach the private port: https://HOST[:PORT]. Set it when a proxy is in front, or when "
            "they use another name than the address it listens on.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="GAINSIGHT_DESTINATION_TLS_CERT",
            help="Speak https on the public port with this certificate chain (PEM); looked at again when it changes.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", envvar="GAINSIGHT_DESTINATION_TLS_KEY", help="The certificate's private key (PEM)."
        ),
    ] = None,
    log_retention_days: RetentionDaysOption = 7,
    log_retention_gb: RetentionGbOption = 20,
    max_backlog_gb: MaxBacklogOption = 10,
    min_free_disk_gb: MinFreeDiskOption = None,
    max_connections: MaxConnectionsOption = 10_000,
) -> None:
    """Receive messages from Segment SDKs and keep Gainsight up to date, until stopped with Ctrl-C."""
    from gainsight_destination.clock import SystemClock
    from gainsight_destination.runtime.lean import without_rich

    with without_rich():
        from gainsight_destination.ingest.public_url import PublicUrl
        from gainsight_destination.observe.logs import configure_logs
        from gainsight_destination.runtime.options import Address, Retention, ServeOptions, marks
        from gainsight_destination.runtime.serve import run_serve

    # On a terminal the first lines tell the person where everything is; what is routine before them is left out.
    configure_logs(part="ingest", level=logging.WARNING if sys.stderr.isatty() else logging.INFO)

    def announce(started: "Started") -> None:
        welcome(started, data)
        configure_logs(part="ingest")

    options = ServeOptions(
        data_dir=data,
        ingest=Address.parse(ingest),
        console=Address.parse(console),
        workspace_file=workspace,
        retention=Retention(log_retention_days, log_retention_gb),
        marks=marks(max_backlog_gb, min_free_disk_gb),
        max_connections=max_connections,
        public_url=PublicUrl.parse(public_url) if public_url else None,
        console_url=PublicUrl.parse(console_url, "--console-url") if console_url else None,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    code = run_serve(options, clock=SystemClock(), announce=announce)
    if code:
        raise typer.Exit(code)
    typer.echo("Stopped; nothing is lost.")


def welcome(started: "Started", data: Path) -> None:
    """Tell the person where everything is, and the next step when nothing may write yet."""
    typer.echo("gainsight-destination is running. Stop it with Ctrl-C.")
    if started.public_url:
        typer.echo(f"  SDKs send to  {started.public_url}, which has to lead to {started.ingest_url}")
    else:
        typer.echo(f"  SDKs send to  {started.ingest_url}")
    typer.echo(f"  Web console   {started.console_url}")
    typer.echo(f"  Data          {data.resolve()}")
    if started.setup_url:
        typer.echo(f"\nNobody can sign in yet. Set the console up with this link, within a day:\n  {started.setup_url}")
    if not started.has_sources:
        typer.echo(
            "\nNo source is configured yet, so messages are counted but not kept. Add one in the console, or describe"
            " it in a file and run:\n"
            f"  gainsight-destination workspace apply -f workspace.yaml --data {data}"
        )
