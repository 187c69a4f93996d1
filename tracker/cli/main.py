"""The command line: parsing, and errors as one line."""

from __future__ import annotations

import argparse
import sys

from tracker.cli import artifact, doctor, door, folder, gc, login, rebuild, runs, server, sweep, sync
from tracker.errors import Error
from tracker.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run one command; exit with 1 and one line when it fails."""
    parser = argparse.ArgumentParser(prog="tracker", description="Experiment tracking that needs no network.")
    parser.add_argument("--version", action="version", version=f"tracker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (door, login, folder, server, sync, sweep, artifact, runs, gc, rebuild, doctor):
        group.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except Error as error:
        sys.exit(f"tracker: {error.message}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
