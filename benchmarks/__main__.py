"""Run benchmarks by name, or all of them, and keep their tables and plots."""

import argparse
import shlex
import sys
import time
from importlib import import_module

from benchmarks import results
from benchmarks.options import Options

BENCHMARKS = ("ingest", "resolve", "both", "latency", "b2b_day", "footprint", "backlog", "growth")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; default: all")
    made.add_argument("--quick", action="store_true", help="small sizes: all in a few minutes, figures worth little")
    made.add_argument("--events", type=int, help="so many events (resolve, b2b_day, footprint, backlog, growth)")
    made.add_argument("--seconds", type=float, help="so long under load (ingest, both, latency, footprint, backlog)")
    made.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        help="write RESULTS.md and docs/img/; what a quick run finds is only printed unless this is given",
    )
    return made


def main() -> None:
    arguments = parser().parse_args()
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser().error(f"there is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    options = Options("quick" if arguments.quick else "full", arguments.events, arguments.seconds)
    keep = not arguments.quick if arguments.keep is None else arguments.keep
    for name in arguments.names or BENCHMARKS:
        module = import_module(f"benchmarks.{name}")
        started = time.monotonic()
        result = module.run(options)
        print(f"{name} ({time.monotonic() - started:.0f} s)\n\n{result.markdown()}\n", flush=True)
        if keep:
            assert module.__doc__ is not None
            results.keep(name, results.section(name, module.__doc__, command(name), result), result)


def command(name: str) -> str:
    """What to type to measure this again."""
    flags = [argument for argument in sys.argv[1:] if argument not in (*BENCHMARKS, "--keep")]
    return f"make bench ARGS={shlex.quote(shlex.join([name, *flags]))}"


if __name__ == "__main__":
    main()
