"""Run benchmarks by name, or all of them: `python -m benchmarks [NAME...] [--seconds N]`."""

import argparse
from importlib import import_module

BENCHMARKS = ("ingest",)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--seconds", type=float, default=8, help="how long each measurement loads the server")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHMARKS:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
        import_module(f"benchmarks.{name}").run(seconds=arguments.seconds)


if __name__ == "__main__":
    main()
