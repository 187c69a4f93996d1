"""The command line: it parses arguments, and prints each error as one line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from argparse import SUPPRESS

from tracker.capture import logs
from tracker.cli import (
    airgap,
    artifact,
    bundle,
    doctor,
    door,
    folder,
    gc,
    importing,
    login,
    open_folders,
    people,
    rebuild,
    run_changes,
    run_comparison,
    run_copies,
    run_export,
    run_list,
    run_overview,
    run_restore,
    run_tail,
    run_wait,
    runs,
    server,
    sweep,
    sync,
)
from tracker.cli.top import command as top
from tracker.errors import Error
from tracker.version import __version__

# In the order of `tracker --help`.
_GROUPS = (
    door,
    login,
    folder,
    server,
    open_folders,
    people,
    sync,
    importing,
    bundle,
    sweep,
    run_comparison,
    run_list,
    run_overview,
    run_tail,
    top,
    run_wait,
    run_export,
    run_changes,
    run_copies,
    artifact,
    run_restore,
    runs,
    gc,
    rebuild,
    doctor,
    airgap,
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, with all commands."""
    parser = argparse.ArgumentParser(prog="tracker", description="Experiment tracking that needs no network.")
    parser.add_argument("--version", action="version", version=f"tracker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in _GROUPS:
        group.add_commands(commands)
    for listed in commands._choices_actions:
        commands.choices[listed.dest].description = listed.help
    for each in (parser, *commands.choices.values()):
        each.add_argument(
            "--verbose", action="store_true", default=SUPPRESS, help="print tracker's own log to stderr too"
        )
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run one command. If the command fails, print one line and exit with 1."""
    options = make_parser().parse_args(arguments)
    logs.begin("cli")
    if hasattr(options, "verbose"):
        logs.be_verbose()
    try:
        options.run(options)
        sys.stdout.flush()
    except Error as error:
        logs.log(logs.INFO, f"tracker {options.command} failed", error)
        line = f"tracker: {error.message}"
        if not hasattr(error, "exit_code"):
            sys.exit(line)
        print(line, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        logs.log(logs.ERROR, f"tracker {options.command} failed", error)
        raise
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
