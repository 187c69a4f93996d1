"""The command ``tracker top``: runs, curves, system metrics, output and alerts on a screen."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tracker.cli.run_selection import add_order, add_selection, open_selection
from tracker.errors import Error, UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    top = commands.add_parser("top", help="watch runs on a screen: curves, system metrics, output, alerts")
    add_selection(top)
    add_order(top)
    top.add_argument("-c", "--columns", help="keys of config and summary, such as: lr,val/loss")
    top.add_argument("-a", "--all-projects", action="store_true", help="list all projects of the entity")
    top.add_argument("--light", action="store_true", help="dark text on a light background")
    top.set_defaults(run=_top)


def _top(options: argparse.Namespace) -> None:
    if find_spec("textual") is None:
        raise Error("tracker top needs the package textual. Run: pip install 'airgap-tracker[top]'")
    if not all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("tracker top needs a terminal. Use tracker ls or tracker tail in scripts.")
    from tracker.cli.top.app import TopApp
    from tracker.cli.top.reads import Source
    from tracker.cli.top.run_table import RunTable

    selection = open_selection(options)
    source = Source(selection, options.runs, options.job)
    columns = tuple(key.strip() for key in options.columns.split(",")) if options.columns else None
    place = "/".join(selection.preferred) if selection.preferred else selection.api.settings["entity"]
    app = TopApp(source, place, RunTable(options.query, options.sort, columns))
    if options.light:
        app.theme = "textual-light"
    app.run()
    if app.error is not None:
        raise app.error
    sys.exit(app.return_code)
