"""The command of a sweep's trial: wandb's macros, filled in."""

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
    """Return the words of a trial's command.

    As in wandb: a word that is a macro becomes its words, ``${envvar:NAME}`` may stand inside of one (it is
    NAME where there is no such variable), and an unknown macro is left out. ``${interpreter}`` is the Python
    that the agent runs in; wandb's is whatever ``python`` is.

    Args:
        config: The sweep's.
        parameters: The trial's.
        file: Where ``${args_json_file}`` lies.
        environment: Variables.

    Raises:
        UsageError: There is nothing to run.
    """
    words = [str(word) for word in config.get("command") or DEFAULT]
    program = config.get("program")
    if program is None and "${program}" in words:
        raise UsageError(
            "the sweep names no program: add `program: train.py` to it, or call agent() with a function"
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
