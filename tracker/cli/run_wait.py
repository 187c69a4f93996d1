"""The command ``tracker wait``: wait until runs have finished, or until a condition is true."""

from __future__ import annotations

import argparse
import operator
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracker.cli.following import Poller
from tracker.cli.output import as_json, parse_span
from tracker.cli.run_list import state_of
from tracker.cli.run_selection import NO_RUN, NoRunError, add_selection, open_selection
from tracker.errors import NoStoreError, UnreachableError, UsageError
from tracker.ground.values import flatten

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.api.run import Run
    from tracker.cli.run_selection import Selection

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Exit codes, in addition to those of all commands.
ENDED_BEFORE = 3
TIMED_OUT = 124
_CODES = {"met": 0, "ended": ENDED_BEFORE, "missing": NO_RUN, "timeout": TIMED_OUT}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_CHOICES: dict[str, Callable[[float, float], float]] = {
    "min": min,
    "max": max,
    "last": lambda _, newer: newer,
}
_EXTREMES = ("summary.min.", "summary.max.")


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    wait = commands.add_parser("wait", help="wait until runs have finished, or until a condition is true")
    wait.add_argument(
        "-u",
        "--until",
        metavar="QUERY",
        help="such as: 'val/acc>=0.9'. KEY is the last value of a metric, min.KEY and max.KEY its extremes",
    )
    wait.add_argument("-t", "--timeout", type=parse_span, help="longest time to wait, such as 30s, 10m or 2h")
    wait.add_argument("--any", action="store_true", help="wait for one of the runs instead of all")
    wait.add_argument("--missing", action="store_true", help="also wait for runs that do not exist yet")
    wait.add_argument("--json", action="store_true", help="print the result as JSON")
    add_selection(wait)
    wait.set_defaults(run=_wait)


class Condition:
    """A query about one run, in which the extremes of metrics can be compared too.

    Args:
        text: The query.

    Raises:
        UsageError: The query is invalid.
    """

    def __init__(self, text: str) -> None:
        from tracker.store.queries.query_language import parse_query

        self.text = text
        asked = parse_query(text, ("summary.",))
        self._filter = asked.filter
        self._keys = [re.sub(r"^(min|max)\.", "", key) for key in asked.short_keys]

    def is_true(self, api: Api, run: Run, extremes: Extremes) -> bool:
        """Return whether the condition is true for a run now.

        Args:
            api: Reads the run.
            run: The run.
            extremes: The extremes of the run's metrics.
        """
        asked = self._filled(self._filter, run, extremes)
        this = {"name": run.id, "archived": {"$in": [True, False]}}
        return bool(api.runs(f"{run.entity}/{run.project}", {"$and": [this, asked]})[:1])

    def unknown(self, run: Run) -> list[str]:
        """Return the keys of the condition that a run has not logged."""
        known = [each.key for each in run._detail().keys]
        known += [key for key, _ in flatten(run._info.summary)] + list(run._info.summary)
        return [key for key in self._keys if key not in known]

    def _filled(self, filters: Mapping[str, Any], run: Run, extremes: Extremes) -> dict[str, Any]:
        """Return the filter with the results of the comparisons that need rows in place of these."""
        tests: list[dict[str, Any]] = []
        for key, test in filters.items():
            if key in ("$and", "$or"):
                tests.append({key: [self._filled(each, run, extremes) for each in test]})
            elif key == "$not":
                tests.append({key: self._filled(test, run, extremes)})
            elif key.startswith(_EXTREMES):
                name = key.removeprefix("summary.")
                tests.append({"name": {"$exists": self._compare(name, test, extremes)}})
            elif key.startswith("summary.") and isinstance(run._info.summary.get(name := key[8:]), dict):
                # define_metric keeps other values than the last one in the summary.
                tests.append({"name": {"$exists": self._compare(f"last.{name}", test, extremes)}})
            else:
                tests.append({key: test})
        return {"$and": tests} if tests else {}

    @staticmethod
    def _compare(name: str, test: Mapping[str, Any], extremes: Extremes) -> bool:
        value = extremes.read(name)
        for sign, operand in test.items():
            if sign == "$exists":
                if (value is not None) != operand:
                    return False
            elif sign not in _COMPARISONS or not isinstance(operand, (int, float)):
                raise UsageError(f"{name.removeprefix('last.')} can only be compared with a number.")
            elif value is None or not _COMPARISONS[sign](value, operand):
                return False
        return True


class Extremes:
    """The smallest, the largest and the last value of metrics of a run. Each read reads only new rows.

    Args:
        run: The run; ``run.load`` was called before each read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._attempts = 0
        self._known: dict[str, tuple[float | None, int | None]] = {}

    def read(self, name: str) -> float | None:
        """Return the extreme or the last one of all logged numbers, or None without numbers.

        Args:
            name: ``min.KEY``, ``max.KEY`` or ``last.KEY``.
        """
        from tracker.api.history import stream_rows

        if self._run._detail().attempts != self._attempts:  # a later attempt can replace rows
            self._known, self._attempts = {}, self._run._detail().attempts
        kind, _, key = name.partition(".")
        choose = _CHOICES[kind]
        best, first = self._known.get(name, (None, None))
        for row in stream_rows(self._run._reader, self._run._run_path, [key], first):
            first = row["_step"] + 1
            value = row.get(key)
            if isinstance(value, (int, float)) and value == value:
                best = value if best is None else choose(best, value)
        self._known[name] = best, first
        return best


@dataclass
class _Waited:
    """A run, and the state of its wait: ``waiting``, ``missing``, ``met`` or ``ended``."""

    name: str
    run: Run | None = None
    extremes: Extremes | None = None
    result: str = "missing"
    told: bool = False


def _wait(options: argparse.Namespace) -> None:
    condition = Condition(options.until) if options.until else None
    poller = Poller(options.timeout)
    selection: Selection | None = None
    waited: list[_Waited] = []
    while True:
        before = [each.result for each in waited]
        try:
            selection = selection or open_selection(options)
            if not waited or options.missing:
                waited = _find(selection.again(), options, waited)
            for each in waited:
                if each.result == "waiting":
                    _check(selection.api, each, condition)
                if each.result == "waiting":
                    _tell_unknown(each, condition)
        except NoStoreError:  # the run can be the first one of its store
            if not options.missing:
                raise
            waited = waited or [_Waited(text) for text in options.runs]
        except UnreachableError as error:  # the server can be back before the time is over
            if not waited:
                raise
            print(f"tracker: {error.message} Trying again.", file=sys.stderr)
        results = [each.result for each in waited]
        result = _result(results, any_run=options.any)
        if result is None and poller.expired:
            result = "timeout" if any(each.run for each in waited) else "missing"
        if result is not None:
            break
        poller.pause(changed=results != before)
    _report(waited, result, condition, options)
    sys.exit(_CODES[result])


def _find(selection: Selection, options: argparse.Namespace, before: list[_Waited]) -> list[_Waited]:
    """Return the runs to wait for, also those that do not exist yet.

    Raises:
        NoRunError: A run does not exist, and --missing was not given.
    """
    if not options.missing:
        found = list(selection.select(options))
        if not found:
            raise NoRunError("No run matches. Use --missing to wait for the first one.")
        return [_new(run) for run in found]
    known = {each.name: each for each in before}
    names: dict[str, _Waited] = {}
    for text in options.runs:
        names[text] = known.get(text) or _Waited(text)
        if names[text].run is None:
            with suppress(NoRunError):
                names[text] = _new(selection.find(text), text)
    if options.query or options.job:
        for runs in selection.search(options.query, options.job):
            names.update((run.storage_id, known.get(run.storage_id) or _new(run)) for run in runs)
    return list(names.values())


def _new(run: Run, name: str | None = None) -> _Waited:
    return _Waited(name or run.storage_id, run, Extremes(run), "waiting")


def _check(api: Api, waited: _Waited, condition: Condition | None) -> None:
    """Read a run again and set its result."""
    from tracker.api.run import ENDED

    assert waited.run is not None
    assert waited.extremes is not None
    waited.run.load()  # first, so that the condition is tested on all rows of a run that has ended
    state = waited.run.state
    if condition.is_true(api, waited.run, waited.extremes) if condition else state == "finished":
        waited.result = "met"
        waited.run.load()  # the rows that made the condition true can be newer
    elif state in ENDED:
        waited.result = "ended"


def _tell_unknown(waited: _Waited, condition: Condition | None) -> None:
    """Print once that a run has no value of a key yet: the name can be wrong."""
    if waited.told or waited.run is None or condition is None:
        return
    waited.told = True
    if unknown := condition.unknown(waited.run):
        keys = " and ".join(unknown)
        print(f"tracker: {waited.run.name} has not logged {keys} yet. Waiting for it.", file=sys.stderr)


def _result(results: list[str], *, any_run: bool) -> str | None:
    """Return the result of all runs as soon as it is certain: ``met`` or ``ended``; else None."""
    if not results:
        return None
    certain, needed = ("met", "ended") if any_run else ("ended", "met")
    if certain in results:
        return certain
    return needed if all(each == needed for each in results) else None


def _report(
    waited: list[_Waited], result: str, condition: Condition | None, options: argparse.Namespace
) -> None:
    if options.json:
        runs = [
            {"name": each.name, "result": each.result, **({} if each.run is None else _identity(each.run))}
            for each in waited
        ]
        print(as_json({"result": result, "until": options.until, "runs": runs}))
        return
    for each in waited:
        if options.any and each.result != "met" and result == "met":
            continue
        if each.run is None:
            print(f"{each.name}: does not exist")
            continue
        step = "" if each.run._info.last_step is None else f" at step {each.run._info.last_step}"
        unknown = condition.unknown(each.run) if condition is not None else []
        words = {"met": f"{options.until} is true", "ended": f"{options.until} was not true"}
        until = f", {words[each.result]}" if options.until and each.result in words else ""
        if unknown and each.result != "met":
            until += f", {' and '.join(unknown)} was never logged"
        print(f"{each.run.name}  {each.run.storage_id}: {state_of(each.run._info)}{step}{until}")
    if result == "timeout":
        print(f"tracker: The result is not known after {options.timeout:g} s.", file=sys.stderr)


def _identity(run: Run) -> dict[str, Any]:
    info = run._info
    names = ("entity", "project", "id", "state", "reason", "last_step")
    return {**{name: getattr(info, name) for name in names}, "display_name": info.name}
