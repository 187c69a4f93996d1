"""The run of ``mode="disabled"``: its summary works in memory, everything else does nothing, as in wandb."""

from __future__ import annotations

from typing import Any

from tracker.ground.records import Record, pack
from tracker.sdk.process import active_runs
from tracker.sdk.run.define_metric import Metric
from tracker.sdk.run.run import INTERNAL, Run


class _Noop:
    """Every attribute of it is it, and so is what a call returns."""

    def __getattr__(self, name: str) -> _Noop:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_arguments: Any, **_named: Any) -> _Noop:
        """Return itself."""
        return self


def _nothing(*_arguments: Any, **_named: Any) -> None:
    """Do nothing."""


# Methods that give the same answer in a disabled run.
_ANSWERED = {"display", "get_project_url", "get_url", "join", "project_name", "to_html"}


class DisabledRun(Run):
    """A run of which nothing is kept: what a script calls does nothing, but for what is below."""

    for _name in set(dir(Run)) - INTERNAL - _ANSWERED:
        if _name[0] != "_" and callable(getattr(Run, _name)):
            locals()[_name] = _nothing
    del _name

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Put values into the summary."""
        self.summary.update(data)

    def log_artifact(self, *_arguments: Any, **_named: Any) -> Any:
        """Return something of which every attribute and every call is itself."""
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
        """What is over does nothing either."""

    def record(self, record: Record) -> None:
        """Keep nothing."""

    def _put(self, record: Record) -> None:
        with self._lock:
            self._journal.put(pack(record))
