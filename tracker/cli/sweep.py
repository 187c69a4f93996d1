"""``tracker sweep`` and ``tracker agent``: making a sweep, steering it, doing its trials."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from tracker.errors import UsageError
from tracker.ground.settings import load_settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_STATES = {"stop": "FINISHED", "cancel": "CANCELED", "pause": "PAUSED", "resume": "RUNNING"}


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    sweep = commands.add_parser("sweep", help="make a sweep, or stop, cancel, pause or resume one")
    sweep.add_argument("config", metavar="FILE|ID", help="YAML or JSON file; with --stop and so on its id")
    _add_place(sweep)
    sweep.add_argument("--name", help="its name")
    sweep.add_argument("--program", help="the program of its trials, over that of the file")
    sweep.add_argument(
        "-R", "--prior_run", "--prior-run", action="append", default=[], metavar="RUN", help="a run of it"
    )
    what = sweep.add_mutually_exclusive_group()
    what.add_argument("--stop", action="store_true", help="let trials that run end, begin no others")
    what.add_argument("--cancel", action="store_true", help="end trials that run, begin no others")
    what.add_argument("--pause", action="store_true", help="begin no trials until --resume")
    what.add_argument("--resume", action="store_true", help="begin trials again")
    sweep.set_defaults(run=_sweep)
    agent = commands.add_parser("agent", help="do the trials of a sweep, one after the other")
    agent.add_argument("sweep_id", metavar="[[ENTITY/]PROJECT/]ID")
    _add_place(agent)
    agent.add_argument("--count", type=int, help="how many trials to do at most")
    agent.add_argument("-f", "--forward-signals", action="store_true", help=argparse.SUPPRESS)
    agent.add_argument(
        "-t", "--term-timeout", type=int, help="seconds until a program is killed (default 30)"
    )
    agent.add_argument(
        "--max-consecutive-failed-runs", type=int, metavar="N", help="give up after N failures in a row"
    )
    agent.set_defaults(run=_agent)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--entity", help="whose project")
    parser.add_argument("-p", "--project", help="its project")


def _sweep(options: argparse.Namespace) -> None:
    from tracker.sdk.sweeps.api import create, find, read_sweep_file

    for flag, state in _STATES.items():
        if getattr(options, flag):
            found = find(options.config, load_settings(entity=options.entity, project=options.project))
            found.request_state(state)
            print(f"sweep {found.path} is {state.lower()} from now on")
            return
    if not os.path.exists(options.config):
        raise UsageError(
            f"there is no file {options.config}: name a YAML or JSON file that says what to search"
        )
    config = read_sweep_file(options.config)
    given = {"name": options.name, "program": options.program}
    config.update({name: value for name, value in given.items() if value is not None})
    made = create(config, options.entity, options.project, options.prior_run)
    print(f"Creating sweep with ID: {made.id}")
    print(f"Run sweep agent with: tracker agent {made.path}")


def _agent(options: argparse.Namespace) -> None:
    from tracker.sdk.sweeps.api import agent

    agent(
        options.sweep_id,
        entity=options.entity,
        project=options.project,
        count=options.count,
        term_timeout=options.term_timeout,
        max_consecutive_failed_runs=options.max_consecutive_failed_runs,
    )
