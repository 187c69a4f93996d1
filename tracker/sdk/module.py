"""Functions of the module such as ``tracker.log``, which call methods of the active run."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TextIO, TypeVar

from tracker.errors import Error
from tracker.sdk.process import active_runs
from tracker.sdk.run.run import Run

P = ParamSpec("P")
T = TypeVar("T")


def _of_run(method: Callable[Concatenate[Run, P], T]) -> Callable[P, T]:
    """Return a function that calls a method of the active run. It raises ``Error`` before ``init``."""
    name = method.__name__

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if active_runs.current is None:
            raise Error(f"You must call wandb.init() before wandb.{name}()")
        found: T = getattr(active_runs.current, name)(*args, **kwargs)
        return found

    call.__name__ = call.__qualname__ = name
    call.__doc__ = method.__doc__
    call.__wrapped__ = partial(method, None)  # type: ignore[attr-defined, arg-type]  # no self in its signature
    return call


alert = _of_run(Run.alert)
define_metric = _of_run(Run.define_metric)
link_artifact = _of_run(Run.link_artifact)
link_model = _of_run(Run.link_model)
log_artifact = _of_run(Run.log_artifact)
log_code = _of_run(Run.log_code)
log_model = _of_run(Run.log_model)
mark_preempting = _of_run(Run.mark_preempting)
pin_config_keys = _of_run(Run.pin_config_keys)
save = _of_run(Run.save)
unwatch = _of_run(Run.unwatch)
use_artifact = _of_run(Run.use_artifact)
use_model = _of_run(Run.use_model)
watch = _of_run(Run.watch)


def log(data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
    """Log a row to the active run. See ``Run.log``.

    Raises:
        Error: There is no active run.
    """
    if active_runs.current is None:  # a function made by `_of_run` takes 0.1 us longer for each row
        raise Error("You must call wandb.init() before wandb.log()")
    active_runs.current.log(data, step, commit)


def finish(exit_code: int | None = None) -> None:
    """Finish the active run. Do nothing when there is none, as in wandb (wandb: ``sdk/wandb_run.py``)."""
    if active_runs.current is not None:
        active_runs.current.finish(exit_code)


def join(exit_code: int | None = None) -> None:
    """Finish the active run. Older scripts use this name for ``finish``."""
    finish(exit_code)


def restore(
    name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
) -> TextIO | None:
    """Fetch a file of a run and open it. See ``Run.restore``.

    Without an active run, ``run_path`` is required and ``root`` defaults to the working folder.

    Raises:
        ValueError: There is no active run, and ``run_path`` is not given.
    """
    run = active_runs.current
    if run is not None and (not run.disabled or run_path is None):
        return run.restore(name, run_path, replace, root)
    if run_path is None:
        raise ValueError("run_path required when calling wandb.restore before wandb.init")
    from tracker.ground.settings import load_settings
    from tracker.sdk.run.restore import restore_file

    return restore_file(load_settings(), name, run_path, replace, root or os.getcwd())


class Early:
    """``tracker.config`` or ``tracker.summary`` before ``init``.

    Any use raises ``Error``, as in wandb (wandb: ``sdk/lib/preinit.py``).
    """

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getitem__(self, key: str) -> Any:
        raise self._error(f"[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        raise self._error(f"[{key!r}]")

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        raise self._error(f".{key}")

    def __setattr__(self, key: str, value: Any) -> None:
        raise self._error(f".{key}")

    def __bool__(self) -> bool:
        return True

    def _error(self, use: str) -> Error:
        name = object.__getattribute__(self, "_name")
        return Error(f"You must call wandb.init() before wandb.{name}{use}")


_early = {name: Early(name) for name in ("config", "summary")}


def live(name: str) -> Any:
    """Return the current value of ``tracker.run``, ``tracker.config`` or ``tracker.summary``."""
    if name == "run":
        return active_runs.current
    return _early[name] if active_runs.current is None else getattr(active_runs.current, name)
