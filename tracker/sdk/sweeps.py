"""Sweeps are not here yet: what asks for them says so, and what to do instead."""

from __future__ import annotations

from typing import Any, NoReturn

from tracker.errors import UnsupportedError

_INSTEAD = "begin one run for each set of parameters, with init(config=..., group=...), and compare the group"


def sweep(sweep: Any = None, entity: str | None = None, project: str | None = None, **more: Any) -> NoReturn:
    """Raise UnsupportedError: wandb makes a sweep here and returns its id."""
    raise UnsupportedError("sweep()", _INSTEAD)


def agent(sweep_id: Any = None, function: Any = None, *arguments: Any, **more: Any) -> NoReturn:
    """Raise UnsupportedError: wandb runs the runs of a sweep here."""
    raise UnsupportedError("agent()", _INSTEAD)


def controller(sweep_id_or_config: Any = None, *arguments: Any, **more: Any) -> NoReturn:
    """Raise UnsupportedError: wandb returns what decides the next runs of a sweep."""
    raise UnsupportedError("controller()", _INSTEAD)
