"""The run of ``mode="disabled"`` (corpus: ``identity.disabled``).

The config and the summary work in memory. ``log`` sets keys of the summary. Most other methods do nothing.
"""

from __future__ import annotations

from typing import Any

from tracker.ground.records import Record, pack
from tracker.sdk.process import active_runs
from tracker.sdk.run.define_metric import Metric
from tracker.sdk.run.run import INTERNAL, Run


class _Noop:
    """An object that returns itself for each attribute and each call."""

    def __getattr__(self, name: str) -> _Noop:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_arguments: Any, **_named: Any) -> _Noop:
        """Return itself."""
        return self


def _nothing(*_arguments: Any, **_named: Any) -> None:
    """Do nothing."""


# Methods that work in a disabled run as in any other.
_ANSWERED = {"display", "get_project_url", "get_url", "join", "project_name", "to_html"}


class DisabledRun(Run):
    """A run that records nothing. Its methods do nothing, except for those below and ``_ANSWERED``."""

    for _name in set(dir(Run)) - INTERNAL - _ANSWERED:
        if _name[0] != "_" and callable(getattr(Run, _name)):
            locals()[_name] = _nothing
    del _name

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Put values into the summary. See ``Run.log``."""
        self.summary.update(data)

    def log_artifact(self, *_arguments: Any, **_named: Any) -> Any:
        """Return an object that returns itself for each attribute and each call."""
        return _Noop()

    def define_metric(self, *_arguments: Any, **_named: Any) -> Metric:
        """Define nothing."""
        return Metric("dummy")

    def save(self, *_arguments: Any, **_named: Any) -> bool:
        """Save nothing."""
        return False

    def finish(self, exit_code: int | None = None) -> None:
        """End the run."""
        self._finished = True
        active_runs.remove(self)

    def fail(self, error: str) -> None:
        """End the run."""
        self.finish()

    def end_at_signal(self, seconds: float, *, finished: bool = False) -> None:
        """End the run."""
        self.finish()

    @property
    def step(self) -> int:
        """Always 0."""
        return 0

    def _check_open(self, call: str) -> None:
        """Do nothing: a finished run of this kind raises no error."""

    def record(self, record: Record) -> None:
        """Do nothing."""

    def _put(self, record: Record) -> None:
        with self._lock:
            self._journal.put(pack(record))
