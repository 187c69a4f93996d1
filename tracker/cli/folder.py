"""The commands ``init``, ``online``, ``offline``, ``enabled``, ``disabled``, ``status``: folder settings."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import UsageError
from tracker.ground import config_files, names
from tracker.ground.settings import MODES, load_settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Each command with the mode that it sets, its help, and the line that it prints.
_MODES = (
    (
        *("online", "online", "send new runs of scripts in this folder to the configured server"),
        "tracker online: runs of this folder are sent to the configured server, if there is one.",
    ),
    (
        *("offline", "offline", "keep new runs of scripts in this folder in the local store"),
        "tracker offline: runs of this folder stay in the local store. Send them with: tracker sync --to URL",
    ),
    ("enabled", "online", "enable logging again after `tracker disabled`", "tracker enabled."),
    (
        *("disabled", "disabled", "disable logging for scripts in this folder"),
        "tracker disabled: runs of this folder are not logged until `tracker enabled`.",
    ),
)


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    init = commands.add_parser("init", help="set project, entity, mode or store for scripts in this folder")
    init.add_argument("-p", "--project", help="project of new runs")
    init.add_argument("-e", "--entity", help="entity of new runs")
    init.add_argument("-m", "--mode", choices=MODES, help="mode of new runs")
    init.add_argument("--store", help="folder of the store")
    init.add_argument("--reset", action="store_true", help="remove all settings of this folder first")
    init.set_defaults(run=_init)
    for name, mode, help_text, message in _MODES:
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--service", action="store_true", help=argparse.SUPPRESS)
        command.set_defaults(run=_setter(mode, message))
    status = commands.add_parser("status", help="print the current settings as JSON")
    status.add_argument("--settings", action="store_true", help=argparse.SUPPRESS)
    status.set_defaults(run=_status)


def _init(options: argparse.Namespace) -> None:
    given = {name: getattr(options, name) for name in ("project", "entity", "mode")}
    given["store"] = os.path.abspath(os.path.expanduser(options.store)) if options.store else None
    if not any(given.values()) and not options.reset:
        raise UsageError(
            "No setting given. Use --project NAME, --entity NAME, --mode MODE, --store DIR or --reset."
        )
    if given["project"] is not None:
        names.check_project(given["project"])
    if given["entity"] is not None:
        names.check_entity(given["entity"])
    path = _file()
    changes = {name: value for name, value in given.items() if value is not None}
    forgotten: dict[str, str | None] = dict.fromkeys(config_files.FIELDS) if options.reset else {}
    config_files.write(path, {**forgotten, **changes})
    print(f"{path}: {', '.join(f'{name} = {value}' for name, value in changes.items()) or 'nothing is set'}")


def _setter(mode: str, message: str) -> Callable[[argparse.Namespace], None]:
    def set_mode(options: argparse.Namespace) -> None:
        config_files.write(_file(), {"mode": mode, "disabled": None})
        print(message)

    return set_mode


def _status(options: argparse.Namespace) -> None:
    settings = load_settings()
    shown = {
        name: str(value) if name in ("store", "artifact_dir") else value
        for name in ("base_url", "entity", "project", "mode", "store", "artifact_dir")
        if (value := getattr(settings, name)) is not None or name == "base_url"
    }
    shown["api_key"] = "set" if settings.api_key else None  # never the key itself
    print(json.dumps(shown, indent=2))


def _file() -> Path:
    return config_files.folder_file(os.environ.get("TRACKER_DIR") or os.environ.get("WANDB_DIR") or ".")
