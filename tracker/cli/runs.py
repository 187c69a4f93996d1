"""The commands ``tracker pull`` and ``restore``: get a run's files, code and config."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.run_selection import RUN_HELP, add_place, open_selection
from tracker.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from tracker.api.run import Run

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    pull = commands.add_parser("pull", help="download the files of a run into this folder")
    pull.set_defaults(run=_pull)
    restore = commands.add_parser(
        "restore", help="check out the git commit of a run, and write the run's config"
    )
    restore.add_argument("--no-git", action="store_true", help="write only wandb/config.yaml")
    restore.add_argument(
        "--branch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="create the branch wandb/RUN, unless --no-branch is given",
    )
    restore.set_defaults(run=_restore)
    for command in (pull, restore):
        command.add_argument("name", metavar="RUN", help=RUN_HELP)
        add_place(command)


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


def _restore(options: argparse.Namespace) -> None:
    run = open_selection(options).find(options.name)
    if not options.no_git:
        _restore_git(run, branch=options.branch)
    run.file("config.yaml").download(root="wandb", replace=True).close()
    print(f"config: {Path('wandb') / 'config.yaml'}")


def _restore_git(run: Run, *, branch: bool) -> None:
    commit = _commit(run)
    if commit is None:
        print("code: the run has no git commit")
        return
    top = Path(_git("rev-parse", "--show-toplevel").strip())
    try:
        _git("cat-file", "-e", f"{commit}^{{commit}}")
    except UsageError:
        raise UsageError(
            f"This repository has no commit {commit}. Fetch it, or use --no-git to get only the config."
        ) from None
    if _git("status", "--porcelain", "--untracked-files=no").strip():
        raise UsageError("The repository has uncommitted changes. Commit or stash them first.")
    if branch:
        _git("checkout", "-q", "-B", f"wandb/{run.id}", commit)
    else:
        _git("checkout", "-q", "--detach", commit)
    print(f"code: {commit}" + (f" on branch wandb/{run.id}" if branch else ""))
    try:
        patch = run.file("diff.patch")
    except NotFoundError:
        return
    with tempfile.TemporaryDirectory() as folder:
        patch.download(root=folder).close()
        _git("apply", os.path.join(folder, "diff.patch"), folder=top)
    print("code: the run's uncommitted changes are applied")


def _commit(run: Run) -> str | None:
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            run.file("wandb-metadata.json").download(root=folder) as file,
        ):
            found = json.load(file)
    except NotFoundError:
        return None
    commit = (found.get("git") or {}).get("commit")
    return str(commit) if commit else None


def _git(*arguments: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=folder)
    except OSError as error:
        raise UsageError(f"Cannot run git: {error.strerror}.") from error
    if done.returncode:
        raise UsageError(
            f"git {arguments[0]}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}"
        )
    return done.stdout


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()
