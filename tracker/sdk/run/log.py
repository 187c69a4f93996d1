"""``Run.log`` and ``Run.define_metric``."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import partial
from typing import Any

from tracker.ground.clock import now
from tracker.ground.records import COMMIT, Row, encode, pack
from tracker.ground.values import PLAIN, check_depth
from tracker.sdk.run.core import RunCore
from tracker.sdk.run.define_metric import Metric, parse_metric


class LogMethods(RunCore):
    """How a ``Run`` takes history."""

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log values into a history row. When this returns they survive SIGKILL of this process.

        Args:
            data: Keys (strings) and values: plain values, scalars and arrays of numpy and torch, media.
            step: The row's step. wandb drops a step smaller than the last; here it becomes a row of its own.
            commit: Whether the row is complete with this call. By default it is, unless ``step`` is given.

        Raises:
            TypeError: ``data`` is no dict with string keys, or a value cannot be encoded. Nothing was logged.
            UsageError: The run is finished.
        """
        if type(data) is not dict:
            data = _as_row(data)
        if step is not None:
            step = _as_step(step)
        keys = tuple(data)
        if keys != self._keys:
            try:
                "".join(keys)  # refuses a key that is no string, at the speed of C
            except TypeError:
                raise TypeError("Key values passed to `wandb.log` must be strings.") from None
            if "" in keys:  # as in wandb: what has no name is not kept
                data, keys = {key: value for key, value in data.items() if key}, ()
            self._keys = keys
        with self._lock:
            if self._finished:
                self._check_open("log")
            if not PLAIN.issuperset(map(type, data.values())):
                data = _to_plain_row(self, data, self._steps.step if step is None else step)
            if self._writing or self._deferred:
                self._defer(partial(self._write_row, dict(data), step, commit))
                return
            steps = self._steps
            before = steps.state
            try:
                self._writing = True
                if step is None and commit is None and before[2] is None:  # nearly every call, at less cost
                    at, row, _ = before
                    steps.state, flags = (at + 1, row + 1, None), COMMIT
                else:
                    row, at, flags = steps.place(step, commit)
                record = Row(row, at, flags, now(), data)
                try:
                    payload = encode(record)
                except (OverflowError, UnicodeEncodeError):
                    payload = pack(record)
                self._journal.put(payload)
            except Exception:
                steps.state = before  # nothing was logged
                raise
            finally:
                self._writing = False
            if self._deferred:
                self._write_deferred()

    def _write_row(self, data: dict[str, Any], step: int | None, commit: bool | None) -> None:
        """Write a row that had to wait; ``log`` has checked it."""
        row, at, flags = self._steps.place(step, commit)
        self._journal.put(pack(Row(row, at, flags, now(), data)))

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
        goal: str | None = None,
    ) -> Metric:
        """Say how a key (or all keys with a prefix, ``"val/*"``) is plotted and summarised.

        Args:
            name: A key, or a prefix that ends in ``*``.
            step_metric: Key that serves as its x axis.
            step_sync: Add the step metric's last value to rows that lack it; on when one is given.
            hidden: Keep it out of automatic charts.
            summary: Comma-separated: min, max, mean, last, first, best, copy, none.
            goal: ``"minimize"`` or ``"maximize"``, for ``summary="best"``.
            overwrite: Forget what was defined before of that name instead of adding to it.

        Raises:
            Error: A word is not known.
        """
        self._check_open("define_metric")
        defined = parse_metric(name, step_metric, step_sync, hidden, summary, goal, overwrite)
        self._put(defined.record)
        return defined

    def copy_row(self, row: dict[str, Any], runtime: float) -> None:
        """Take over a row of another run's history, as it was read, at its own step and time.

        Args:
            row: With ``_step``, ``_runtime`` and ``_timestamp``.
            runtime: Seconds that the run had lasted in all when it was left.
        """
        data = {key: value for key, value in row.items() if key not in ("_step", "_runtime")}
        at = self._started.time + (row.get("_runtime") or 0.0) - runtime
        with self._lock:
            number, step, flags = self._steps.place(row["_step"], True)
            self._journal.put(pack(Row(number, step, flags, at, data)))

    def _summary_value(self, key: str, value: Any, depth: int = 0) -> Any:
        if type(value) in PLAIN:
            return value
        check_depth(depth)
        from tracker.sdk.run.summary_values import describe_array, is_large_array

        if is_large_array(value):
            return describe_array(value)
        if isinstance(value, dict):
            return {
                str(name): self._summary_value(f"{key}.{name}", item, depth + 1)
                for name, item in value.items()
            }
        if callable(value) and hasattr(value, "__qualname__"):
            return f"{value.__module__}.{value.__qualname__}"
        return _to_plain_row(self, {key: value}, "summary")[key]


def _to_plain_row(run: Any, data: dict[str, Any], step: int | str) -> dict[str, Any]:
    from tracker.sdk.run.media import to_plain_row  # many runs log plain values alone

    return to_plain_row(run, data, step)


def _as_row(data: Any) -> dict[str, Any]:
    if isinstance(data, Mapping):
        return dict(data)
    raise TypeError("wandb.log must be passed a dictionary")


def _as_step(step: Any) -> int:
    try:
        found = operator.index(step)
        if not -(2**63) <= found < 2**63:
            raise ValueError(f"step must fit into 64 bits, not {hex(found)}")
        return found
    except TypeError:
        if isinstance(step, float) and step.is_integer():
            return int(step)
        if hasattr(step, "item"):  # a torch or numpy scalar
            return _as_step(step.item())
        raise TypeError(f"step must be a whole number, not {step!r}") from None
