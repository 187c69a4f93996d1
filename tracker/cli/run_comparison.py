"""The command ``tracker compare``: what differs between runs, and the steps at which their curves part."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.cli.output import as_json, as_table, as_value, one_line, shortened, terminal_width
from tracker.cli.run_selection import add_selection, open_selection
from tracker.errors import UsageError
from tracker.ground.values import dumps, flatten

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.ground.curves import RunLine

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_MOST_RUNS = 20
# The number of metrics whose curves differ that are listed for each run.
_LISTED = 3
# Facts of a run's start that differ between any two runs.
_NOISE = ("startedAt", "writerId", "disk", "email")
# The relative difference below which two values are the same: less than a rounding of float32.
_SAME = 1e-7
# The number of points of a line, and of rounds that search within a range of steps: enough for 10^12 steps.
_POINTS = 1000
_ROUNDS = 4
# The number of metrics in one request.
_KEYS_AT_ONCE = 50


class Difference(NamedTuple):
    """The values of a key in several runs. A run without the key has None in ``values``."""

    key: str
    values: list[Any]
    differs: bool


class Parting(NamedTuple):
    """The first step at which the curves of two runs differ, or the range with this step.

    Attributes:
        step: The first step with different values. For a range: the step before it, or None.
        before: The last step of the range; None if ``step`` is exact.
    """

    step: int | None
    before: int | None


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    compare = commands.add_parser("compare", help="show what differs between runs, and where curves part")
    compare.add_argument("-a", "--all", action="store_true", help="also show what is equal")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    add_selection(compare)
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    runs = list(islice(open_selection(options).select(options), _MOST_RUNS + 1))
    if len(runs) < 2:
        raise UsageError("Name two or more runs. The first is the one that the others are compared with.")
    if len(runs) > _MOST_RUNS:
        raise UsageError(f"More than {_MOST_RUNS} runs match. Name fewer runs, or use: tracker ls --columns")
    for run in runs:
        run._detail()
    facts = {
        "config": align([_settings(run.config) for run in runs]),
        "summary": align([_settings(run._info.summary) for run in runs]),
        "metadata": align([_metadata(run) for run in runs]),
    }
    partings = {run.storage_id: find_partings(runs[0], run) for run in runs[1:]}
    if options.json:
        shown = {name: [row._asdict() for row in rows] for name, rows in facts.items()}
        parted = [
            {"run": path, "metric": key, **parting._asdict()}
            for path, found in partings.items()
            for key, parting in found.items()
        ]
        print(as_json({"runs": [run.storage_id for run in runs], **shown, "partings": parted}))
        return
    print("\n".join(_lines(runs, facts, partings, everything=options.all)))


def align(runs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Return the values of all keys by run: first the keys that differ, then the others, each by name.

    Args:
        runs: The values of each run by key.
    """
    rows = []
    for key in sorted({key for run in runs for key in run}):
        different = len({dumps(run[key]) if key in run else "" for run in runs}) > 1
        rows.append(Difference(key, [run.get(key) for run in runs], different))
    return sorted(rows, key=lambda row: not row.differs)


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flatten(values) if not key.startswith("_")}


def _metadata(run: Run) -> dict[str, Any]:
    kept = {key: value for key, value in (run.metadata or {}).items() if key not in _NOISE}
    return {"state": run.state, "host": run._info.host, **dict(flatten(kept))}


def find_partings(one: Run, other: Run) -> dict[str, Parting]:
    """Return where the curves of two runs part, by metric. Metrics with equal curves are left out.

    Args:
        one: A run.
        other: Another run, also of another project.
    """
    known = {each.key for each in one._detail().keys if each.numbers}
    keys = [each.key for each in other._detail().keys if each.numbers and each.key in known]
    # A shorter run is compared with the same steps of a longer one, at the same resolution.
    last = min(one.lastHistoryStep, other.lastHistoryStep)
    found: dict[str, Parting] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        found.update(_partings_within(one, other, keys[start : start + _KEYS_AT_ONCE], None, last))
    for key in found:
        for _ in range(_ROUNDS):
            low, high = found[key]
            if high is None:
                break
            finer = _partings_within(one, other, [key], low, high)
            if finer.get(key, found[key]) == found[key]:
                break
            found[key] = finer[key]
    return found


def _partings_within(
    one: Run, other: Run, keys: Sequence[str], low: int | None, high: int
) -> dict[str, Parting]:
    lines = [
        run._reader.run_lines(
            run.entity, run.project, [run.id], keys, x="_step", points=_POINTS, low=low, high=high
        )
        for run in (one, other)
    ]
    found = ((left.key, parting_of(left, right)) for left, right in zip(*lines, strict=True))
    return {key: parting for key, parting in found if parting is not None}


def parting_of(one: RunLine, other: RunLine) -> Parting | None:
    """Return where two lines part: the first common x with different values; None if they do not.

    Args:
        one: A line.
        other: A line of the same kind: points, or buckets with the same positions up to the parting.
    """
    if one.kind != other.kind:
        return None
    names = ("y",) if one.kind == "points" else ("min", "max", "mean", "last")
    left, right = ([list(map(float, line.columns[name])) for name in ("x", *names)] for line in (one, other))
    places = {x: at for at, x in enumerate(right[0])}
    before = None
    for at, x in enumerate(left[0]):
        there = places.get(x)
        if there is None:
            continue
        if not all(_is_same(a[at], b[there]) for a, b in zip(left[1:], right[1:], strict=True)):
            return Parting(int(x), None) if one.kind == "points" else Parting(before, int(x))
        before = int(x)
    return None


def _is_same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b) or abs(a - b) <= _SAME * max(abs(a), abs(b))


def _lines(
    runs: Sequence[Run],
    facts: Mapping[str, list[Difference]],
    partings: Mapping[str, Mapping[str, Parting]],
    *,
    everything: bool,
) -> Iterator[str]:
    width = terminal_width()
    cell = 1000 if width is None else max(10, (width - 20) // len(runs) - 2)
    places = {(run.entity, run.project) for run in runs}
    ids = [run.id if len(places) == 1 else run.storage_id for run in runs]
    heads = [[shortened(text, cell) for text in row] for row in ([one_line(run.name) for run in runs], ids)]
    yield as_table([("", *row) for row in heads])
    for title, rows in facts.items():
        kept = [row for row in rows if everything or row.differs]
        equal = sum(not row.differs for row in rows)
        note = f" ({equal} equal)" if equal and not everything else ""
        yield from ("", f"{title.capitalize()}{note}")
        table = [
            (f"  {one_line(row.key)}", *(shortened(as_value(value), cell) for value in row.values))
            for row in kept
        ]
        yield as_table(table) if table else "  no differences" if rows else "  none"
    yield from ("", f"Curves, compared with {one_line(runs[0].name)}")
    for run in runs[1:]:
        found = sorted(partings[run.storage_id].items(), key=lambda item: (item[1].step or 0, item[0]))
        shown = [
            f"{place} in {_names([one_line(key) for key, _ in items], None if everything else _LISTED)}"
            for place, items in groupby(found, lambda item: _place(item[1]))
        ]
        yield f"  {one_line(run.name)}: {'; '.join(shown) or 'no difference at a common step'}"


def _names(keys: list[str], most: int | None) -> str:
    if most is not None and len(keys) > most:
        keys = [*keys[:most], f"and {len(keys) - most} more"]
    return ", ".join(keys)


def _place(parting: Parting) -> str:
    if parting.before is None:
        return f"differs from step {parting.step}"
    after = "" if parting.step is None else f"after step {parting.step} and "
    return f"differs {after}at or before step {parting.before}"
