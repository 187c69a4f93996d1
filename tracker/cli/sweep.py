"""The commands ``tracker sweep`` and ``tracker agent``: create and control a sweep, run its trials."""

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
    """Add the commands of this module."""
    sweep = commands.add_parser("sweep", help="create a sweep, or stop, cancel, pause or resume one")
    sweep.add_argument(
        "config",
        metavar="FILE|ID",
        help="YAML or JSON file of a new sweep; id of the sweep for --stop, --cancel, --pause and --resume",
    )
    _add_place(sweep)
    sweep.add_argument("--name", help="name of the sweep")
    sweep.add_argument("--program", help="program of the trials; overrides the program in the file")
    sweep.add_argument(
        "-R",
        "--prior_run",
        "--prior-run",
        action="append",
        default=[],
        metavar="RUN",
        help="add an existing run to the sweep",
    )
    state = sweep.add_mutually_exclusive_group()
    state.add_argument("--stop", action="store_true", help="start no more trials; let running trials end")
    state.add_argument("--cancel", action="store_true", help="start no more trials; end running trials")
    state.add_argument("--pause", action="store_true", help="start no more trials until --resume")
    state.add_argument("--resume", action="store_true", help="start trials again")
    sweep.set_defaults(run=_sweep)
    agent = commands.add_parser("agent", help="run the trials of a sweep, one after the other")
    agent.add_argument("sweep_id", metavar="[[ENTITY/]PROJECT/]ID", help="id of the sweep")
    _add_place(agent)
    agent.add_argument("--count", type=int, help="maximum number of trials")
    agent.add_argument("-f", "--forward-signals", action="store_true", help=argparse.SUPPRESS)
    agent.add_argument(
        "-t", "--term-timeout", type=int, help="seconds from SIGTERM to SIGKILL of a trial (default: 30)"
    )
    agent.add_argument(
        "--max-consecutive-failed-runs", type=int, metavar="N", help="stop after N failed trials in a row"
    )
    agent.set_defaults(run=_agent)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--entity", help="entity of the project")
    parser.add_argument("-p", "--project", help="project of the sweep")


def _sweep(options: argparse.Namespace) -> None:
    from tracker.sdk.sweeps.api import create, find, read_sweep_file

    for flag, state in _STATES.items():
        if getattr(options, flag):
            found = find(options.config, load_settings(entity=options.entity, project=options.project))
            found.request_state(state)
            print(f"Sweep {found.path} is now {state.lower()}.")
            return
    if not os.path.exists(options.config):
        raise UsageError(
            f"File {options.config!r} does not exist. Name a YAML or JSON file with the sweep config."
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
