"""The commands ``tracker run`` and ``tracker env``: make ``import wandb`` import tracker."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.server import store_of
from tracker.door.environment import redirect_wandb, undo_redirect
from tracker.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?")
# Options of Python that take a value as the next word.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_SHELLS = {
    "sh": ("export {name}={value}", "unset {name}"),
    "fish": ("set -gx {name} {value};", "set -e {name};"),
    "csh": ("setenv {name} {value};", "unsetenv {name};"),
}


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    run = commands.add_parser(
        "run",
        help="run a program; its `import wandb` imports tracker",
        usage="tracker run [--project P] [--entity E] [--store DIR] [--mode M] "
        "(COMMAND | SCRIPT.py | -m MODULE | -c CODE) [ARGUMENT...]",
    )
    run.add_argument("--project", help="project of the program's runs")
    run.add_argument("--entity", help="entity of the program's runs")
    run.add_argument("--store", type=Path, help="folder of the store")
    run.add_argument("--mode", help="online, offline or disabled")
    run.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="run a module, as python -m does")
    run.add_argument("-c", dest="code", nargs=argparse.REMAINDER, help="run code, as python -c does")
    run.add_argument("program", nargs=argparse.REMAINDER, help="a program, or a Python file")
    run.set_defaults(run=_run)
    env = commands.add_parser(
        "env", help='print shell lines that make `import wandb` import tracker: eval "$(tracker env)"'
    )
    env.add_argument("--undo", action="store_true", help="print the lines that undo `tracker env`")
    env.add_argument("--shell", choices=sorted(_SHELLS), default="sh", help="default: sh (also bash, zsh)")
    env.set_defaults(run=_env)


def _run(options: argparse.Namespace) -> None:
    given = {
        "TRACKER_PROJECT": options.project,
        "TRACKER_ENTITY": options.entity,
        # Resolved here, because the program may change its working folder.
        "TRACKER_STORE": str(store_of(options)),
        "TRACKER_MODE": options.mode,
    }
    command = _command(options)
    if (refusing := _ignores_pythonpath(command)) is not None:
        raise UsageError(
            f"{refusing} makes Python ignore PYTHONPATH, which `import wandb` needs. Leave the option out."
        )
    variables = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    variables.update(redirect_wandb(variables))
    sys.stdout.flush()
    try:
        # exec: the program itself then receives signals and returns its exit status.
        os.execvpe(command[0], command, variables)
    except OSError as error:
        print(f"tracker: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


def _command(options: argparse.Namespace) -> list[str]:
    for flag, words in (("-m", options.module), ("-c", options.code)):
        if words is not None:
            if not words:
                raise UsageError(f"Option {flag} needs a value.")
            return [sys.executable, flag, *words]
    program: list[str] = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        raise UsageError("No program given. Example: tracker run python train.py")
    if program[0].endswith((".py", ".pyz")) and not os.access(program[0], os.X_OK):
        return [sys.executable, *program]
    return program


def _env(options: argparse.Namespace) -> None:
    setting, unsetting = _SHELLS[options.shell]
    changes: Mapping[str, str | None] = (undo_redirect if options.undo else redirect_wandb)(os.environ)
    for name, value in changes.items():
        if value is None:
            print(unsetting.format(name=name))
        else:
            print(setting.format(name=name, value=shlex.quote(value)))


def _ignores_pythonpath(command: list[str]) -> str | None:
    """Return the Python program and its option that ignores PYTHONPATH, as text; None without such."""
    for at, word in enumerate(command):
        if not _PYTHON.fullmatch(os.path.basename(word)):
            continue
        rest = iter(command[at + 1 :])
        for option in rest:
            if option in _WITH_VALUE:
                next(rest, None)
                continue
            if not option.startswith("-") or option.startswith("--") or option[1:2] in ("m", "c", ""):
                break
            if option[1] not in "WX" and set("IE") & set(option[1:]):
                return f"{word} {option}"
        return None
    return None
