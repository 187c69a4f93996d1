"""Pickled runs: a process that unpickles a run attaches to it, as with ``ddp_spawn``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from tracker.errors import UsageError
from tracker.ground import public_package
from tracker.journal.writer import write_held_back

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

# Runs that this process has pickled, by path and `_attach_id`.
_pickled: WeakValueDictionary[tuple[str, str | None], Run] = WeakValueDictionary()


class RunHandover:
    """An unpickled run in a process that did not start it. Its first use attaches this process to the run.

    Args:
        path: ``ENTITY/PROJECT/ID``.
        attach_id: Argument for ``attach``; None for a disabled or finished run.
        ended: Whether the run was finished when it was pickled. Then it cannot be used.
    """

    def __init__(self, path: str, attach_id: str | None, ended: bool) -> None:
        vars(self).update(_path=path, _attach_id=attach_id, _ended=ended, _run=None)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # isinstance(self, Run) must be True
        return public_package.package.Run

    def _use(self) -> Run:
        if self._ended:
            raise UsageError(f"Run ({self._path}) is finished. Start a new run with init().")
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
        return unpickle_run, (self._path, self._attach_id, self._ended)

    def __repr__(self) -> str:
        return f"<Run {self._path}>"


def pickle_arguments(run: Run) -> tuple[str, str | None, bool]:
    """Return the arguments of ``unpickle_run`` for a run, and remember the run in this process."""
    attach_id = None if run.finished else run._attach_id
    write_held_back()  # the other process may read the run's journal
    _pickled[run.path, attach_id] = run
    return run.path, attach_id, run.finished


def unpickle_run(path: str, attach_id: str | None, ended: bool) -> Any:
    """Return an unpickled run: the run itself if this process has pickled it, else a ``RunHandover``.

    Args:
        path: ``ENTITY/PROJECT/ID``.
        attach_id: The run's ``_attach_id``, or None.
        ended: Whether the run was finished when it was pickled.
    """
    return _pickled.get((path, attach_id)) or RunHandover(path, attach_id, ended)


# Pickles of earlier versions contain this name.
given = unpickle_run
