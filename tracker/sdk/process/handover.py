"""A run that is handed over to a process in a pickle, as in ``ddp_spawn``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from tracker.errors import UsageError
from tracker.ground import public_package

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

# Runs of this process that were pickled, by what their pickles name them.
_pickled: WeakValueDictionary[tuple[str, str | None], Run] = WeakValueDictionary()


class RunHandover:
    """A run that was unpickled in a process that did not begin it. Its first use attaches this process to it.

    Args:
        path: ``ENTITY/PROJECT/ID``.
        attach_id: What ``attach`` finds the run by; None for one of which nothing is kept.
        ended: It was finished when it was pickled, so it is not continued.
    """

    def __init__(self, path: str, attach_id: str | None, ended: bool) -> None:
        vars(self).update(_path=path, _attach_id=attach_id, _ended=ended, _run=None)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # so that isinstance() takes it for a run
        return public_package.package.Run

    def _use(self) -> Run:
        if self._ended:
            raise UsageError(f"Run ({self._path}) is finished: init a new run")
        if self._run is None:
            vars(self)["_run"] = self._attach()
        found: Run = vars(self)["_run"]
        return found

    def _attach(self) -> Run:
        if self._attach_id is not None:
            found: Run = public_package.package._attach(self._attach_id)
        else:
            entity, project, run_id = self._path.split("/")
            found = public_package.package.init(
                entity, project, id=run_id, mode="disabled", reinit="create_new"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._use(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._use(), name, value)

    def __enter__(self) -> Any:
        return self._use().__enter__()

    def __exit__(self, *raised: Any) -> Any:
        return self._use().__exit__(*raised)

    def __deepcopy__(self, memo: object) -> RunHandover:
        return self

    def __copy__(self) -> RunHandover:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return given, (self._path, self._attach_id, self._ended)

    def __repr__(self) -> str:
        return f"<Run {self._path}>"


def handed(run: Run) -> tuple[str, str | None, bool]:
    """Return what ``given`` makes a pickled run of, wherever it is unpickled."""
    attach_id = None if run.finished else run._attach_id
    _pickled[run.path, attach_id] = run
    return run.path, attach_id, run.finished


def given(path: str, attach_id: str | None, ended: bool) -> Any:
    """Return the run that was pickled here; in another process what attaches to it at its first use."""
    return _pickled.get((path, attach_id)) or RunHandover(path, attach_id, ended)
