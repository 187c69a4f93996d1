"""The command ``tracker pull``: download the files of a run."""

from __future__ import annotations

import argparse
import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.run_selection import RUN_HELP, add_place, open_selection
from tracker.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    pull = commands.add_parser("pull", help="download the files of a run into this folder")
    pull.set_defaults(run=_pull)
    pull.add_argument("name", metavar="RUN", help=RUN_HELP)
    add_place(pull)


def _pull(options: argparse.Namespace) -> None:
    run = open_selection(options).find(options.name)
    files = list(run.files())
    if not files:
        raise UsageError(f"Run {run.entity}/{run.project}/{run.id} has no files.")
    for file in files:
        path = Path(file.name)
        if path.is_file() and _md5(path) == file.md5:
            print(f"{file.name} is up to date")
        else:
            file.download(replace=True).close()
            print(file.name)


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()
