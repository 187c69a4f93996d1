"""The methods ``Run.log`` and ``Run.define_metric``."""

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
    """The methods of a ``Run`` that write history."""

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log values into a history row.

        When this call returns, the values survive SIGKILL of this process. There are two exceptions. If
        writing fails, for example on a full disk, rows wait in memory until it works again. In a signal
        handler that has interrupted another call of this run, the row is written after that call.

        Args:
            data: A dict from string keys to plain values, scalars and arrays of numpy and torch, or media.
            step: The row's step. A step below the current one adds a separate row; wandb drops such a row.
            commit: Whether this call completes the row. The default is True, or False if ``step`` is given.

        Raises:
            TypeError: ``data`` is not a dict with string keys, a value has no plain form, or ``step`` is not
                a whole number. Nothing is logged.
            ValueError: ``step`` does not fit into 64 bits.
            UsageError: The run is finished, or ``step`` is larger than 2**62 or smaller than -2**62.
        """
        if type(data) is not dict:
            data = _as_row(data)
        if step is not None:
            step = _as_step(step)
        keys = tuple(data)
        if keys != self._keys:
            try:
                "".join(keys)  # a fast check in C that all keys are strings
            except TypeError:
                raise TypeError("Key values passed to `wandb.log` must be strings.") from None
            if "" in keys:  # wandb drops empty keys too
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
                if step is None and commit is None and before[2] is None:  # a fast path for most calls
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
        """Write a deferred row. ``log`` has checked its values."""
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
        """Define how a key, or all keys with a prefix (``"val/*"``), are plotted and summarised.

        Args:
            name: A key, or a prefix that ends in ``*``.
            step_metric: The key of the x axis.
            step_sync: Whether rows without the step metric get its last value. The default is True if
                ``step_metric`` is given.
            hidden: Whether automatic charts leave the key out.
            summary: Comma-separated aggregates: min, max, mean, last, first, best, copy, none.
            goal: ``"minimize"`` or ``"maximize"``, for ``summary="best"``.
            overwrite: Whether to replace earlier definitions of the name instead of adding to them.

        Raises:
            Error: An argument has an unknown value or the wrong type.
        """
        self._check_open("define_metric")
        defined = parse_metric(name, step_metric, step_sync, hidden, summary, goal, overwrite)
        self._put(defined.record)
        return defined

    def copy_row(self, row: dict[str, Any], runtime: float) -> None:
        """Copy a row of another run's history, and keep its step and time.

        Args:
            row: The row, with ``_step``, ``_runtime`` and ``_timestamp``.
            runtime: The largest ``_runtime`` of all copied rows, in seconds.
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
    from tracker.sdk.run.media import to_plain_row  # imported late: many runs log only plain values

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
