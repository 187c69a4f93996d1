"""The command of a sweep's trial, with wandb's macros replaced."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from tracker.errors import UsageError

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def command_of(
    config: Mapping[str, Any], parameters: Mapping[str, Any], file: str, environment: Mapping[str, str]
) -> list[str]:
    """Return the arguments of a trial's command.

    A word that is a macro is replaced by its words. ``${envvar:NAME}`` may be a part of a word. If the
    variable does not exist, the macro becomes NAME. Unknown macros are removed. These rules are wandb's
    (wandb: ``wandb_agent.py``). Unlike there, ``${interpreter}`` is the Python of the agent.

    Args:
        config: The sweep's config.
        parameters: The trial's parameters.
        file: The path for ``${args_json_file}``.
        environment: The environment variables.

    Raises:
        UsageError: The command needs a program, and the sweep has none.
    """
    words = [str(word) for word in config.get("command") or DEFAULT]
    program = config.get("program")
    if program is None and "${program}" in words:
        raise UsageError(
            "The sweep has no program. Add `program: train.py` to it, or call agent() with a function."
        )
    macros = {
        "env": ["/usr/bin/env"],
        "interpreter": [sys.executable],
        "program": [str(program)],
        "args_json_file": [file],
        **_arguments(parameters),
    }
    found: list[str] = []
    for word in words:
        word = _VARIABLE.sub(lambda match: environment.get(match[1], match[1]), word)
        found += macros.get(word[2:-1], []) if word.startswith("${") and word.endswith("}") else [word]
    return found


def _arguments(parameters: Mapping[str, Any]) -> dict[str, list[str]]:
    pairs = [f"{name}={value}" for name, value in parameters.items()]
    flags = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in parameters.items()
        if value is not False
    ]
    return {
        "args": [f"--{pair}" for pair in pairs],
        "args_no_equals": [word for name, value in parameters.items() for word in (f"--{name}", str(value))],
        "args_no_hyphens": pairs,
        "args_no_boolean_flags": flags,
        "args_json": [json.dumps(dict(parameters))],
        "args_append_hydra": [f"+{pair}" for pair in pairs],
        "args_override_hydra": [f"++{pair}" for pair in pairs],
    }
