"""The command ``tracker top``: runs, curves, system metrics, output and alerts on a screen."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tracker.cli.run_selection import NEWEST_FIRST, add_order, add_selection, open_selection
from tracker.errors import Error, UsageError
from tracker.ground.config_files import read_layout, write_layout
from tracker.ground.terminal import say

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
    top.add_argument("--reset", action="store_true", help="forget the layout that was kept at the last end")
    # None tells an option that was not given: then the kept value is used.
    top.set_defaults(run=_top, query=None, sort=None)


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
    app = TopApp(source, place, RunTable(options.query or "", options.sort or NEWEST_FIRST, columns))
    # The layout belongs to a store or server, and a project.
    api = selection.api
    layout_of = f"{api.settings['base_url'] or api._settings.store.resolve()} {place}"
    kept = {} if options.reset else read_layout(layout_of)
    given = _given(options, app.kept())
    app.restore(kept | given)
    app.run()
    app.reads.end()
    if app.error is not None:
        raise app.error
    # An option holds for one start only, unless the user changes its value on the screen.
    used = {name: value for name, value in app.kept().items() if (name, value) not in given.items()}
    try:
        write_layout(layout_of, kept | used)
    except UsageError as error:
        say(f"The layout is not kept: {error}")
    sys.exit(app.return_code)


def _given(options: argparse.Namespace, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the layout that the options set."""
    names = {
        "runs.order": options.sort is not None,
        "runs.columns": options.columns is not None,
        "dark": options.light,
        # A kept query or selection would hide the runs that the options name.
        **dict.fromkeys(
            ("runs.query_text", "runs.selected", "runs.pinned"),
            bool(options.runs or options.job or options.query is not None),
        ),
    }
    found = {name: values[name] for name, is_given in names.items() if is_given}
    return found | ({"dark": False} if options.light else {})
