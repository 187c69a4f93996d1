"""The command ``tracker ls``: a table of runs."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tracker.cli.output import (
    as_age,
    as_json,
    as_table,
    as_time,
    as_value,
    one_line,
    shortened,
    terminal_width,
    width_of,
    without_common_start,
)
from tracker.cli.run_selection import accept_minus_signs, add_job, add_order, add_place, open_selection
from tracker.errors import UsageError
from tracker.ground.values import flatten

if TYPE_CHECKING:
    from tracker.cli.run_selection import Selection
    from tracker.ground.read_models import RunInfo

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

T = TypeVar("T")

# The number of columns of metrics, and of keys of the config that differ, without --columns.
_METRICS = _SETTINGS = 3
# The smallest width of names, tags and other texts in a table that does not fit into the terminal: as long as
# columns can be left out, and without columns to leave out.
_NARROW, _NARROWEST = 20, 12
# Keys of the summary that count steps, which the column STEP shows already.
COUNTERS = ("epoch", "step", "global_step", "trainer/global_step", "batch", "iteration")
# Words at the end of keys of the config that differ in each run, and explain nothing.
_NUMBERING = ("seed", "trial", "number", "index", "id")
_SIGNAL = re.compile(r"signal \d+ \((\w+)\)")
_ERROR_TYPE = re.compile(r"(?:\w+\.)*(\w+)")
# Parts of the names of the metrics that people compare runs by, the most important first.
_TELLING = ("val", "test", "eval", "loss", "acc", "score", "reward", "objective")


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    listing = commands.add_parser("ls", help="list runs, newest first")
    listing.add_argument(
        "query", nargs="?", default="", metavar="QUERY", help="such as: 'state:failed tag:best lr>0.1'"
    )
    listing.add_argument("-n", "--number", type=int, default=20, help="number of runs; 0: all (default: 20)")
    add_order(listing)
    accept_minus_signs(listing, positional=True)
    listing.add_argument("-r", "--reverse", action="store_true", help="reverse the order")
    listing.add_argument(
        "-c", "--columns", help="such as: name,state,lr,val/loss; fields of runs, keys of config and summary"
    )
    listing.add_argument("-a", "--all-projects", action="store_true", help="list all projects of the entity")
    output = listing.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the runs as JSON")
    output.add_argument(
        "--ids", action="store_true", help="print only ENTITY/PROJECT/ID of each run, for other commands"
    )
    add_job(listing)
    add_place(listing)
    listing.set_defaults(run=_list)


class Column(NamedTuple):
    """A column of the table of runs.

    Attributes:
        title: The head.
        text: Returns the cell of a run.
        right: Whether the column is right-aligned; None: if it has only numbers.
        shrinks: Whether its cells are shortened if the table does not fit into the terminal.
        rank: If the table still does not fit, the columns with the largest rank are left out first. 0: never.
    """

    title: str
    text: Callable[[RunInfo], str]
    right: bool | None = False
    shrinks: bool = False
    rank: int = 0


def state_of(run: RunInfo) -> str:
    """Return the state of a run with its reason in a word or two: ``failed (ValueError)``."""
    reason = run.reason or ""
    if reason == "exception" and (error := _ERROR_TYPE.match(run.error or "")):
        reason = error[1]
    elif signal := _SIGNAL.fullmatch(reason):
        reason = signal[1]
    return f"{run.state} ({one_line(reason)})" if reason else run.state


def _jobs(run: RunInfo) -> str:
    """Return the Slurm jobs that wrote a run. A task of an array is ``123_4``, without its other numbers."""
    from tracker.capture.facts import SLURM_JOBS

    jobs = list(run.config.get("_wandb", {}).get(SLURM_JOBS, ()))
    return ", ".join([job for job in jobs if "_" in job] or jobs)


_COLUMNS = {
    "name": Column("NAME", lambda run: one_line(run.name), shrinks=True),
    "id": Column("ID", lambda run: run.id),
    "entity": Column("ENTITY", lambda run: run.entity),
    "project": Column("PROJECT", lambda run: run.project, shrinks=True),
    "state": Column("STATE", state_of, shrinks=True),
    "age": Column("AGE", lambda run: as_age(time.time() - run.created_at), right=True, rank=3),
    "duration": Column("DURATION", lambda run: as_age(run.duration), right=True, rank=6),
    "step": Column("STEP", lambda run: as_value(run.last_step), right=True, rank=1),
    "tags": Column("TAGS", lambda run: one_line(", ".join(run.tags)), shrinks=True, rank=5),
    "group": Column("GROUP", lambda run: one_line(run.group or ""), shrinks=True),
    "job_type": Column("JOB TYPE", lambda run: one_line(run.job_type or ""), shrinks=True),
    "job": Column("JOB", _jobs),
    "host": Column("HOST", lambda run: one_line(run.host or "")),
    "reason": Column("REASON", lambda run: one_line(run.reason or "")),
    "error": Column("ERROR", lambda run: one_line((run.error or "").partition("\n")[0]), shrinks=True),
    "notes": Column("NOTES", lambda run: one_line((run.notes or "").partition("\n")[0]), shrinks=True),
    "created": Column("CREATED", lambda run: as_time(run.created_at)),
    "updated": Column("UPDATED", lambda run: as_time(run.updated_at)),
    "last_seen": Column("LAST SEEN", lambda run: as_time(run.last_seen or run.updated_at)),
}
_OTHER_NAMES = {"last_step": "step", "created_at": "created", "updated_at": "updated"}


def _list(options: argparse.Namespace) -> None:
    if options.number < 0:
        raise UsageError(f"Invalid number of runs {options.number}. Use 1 or more, or 0 for all.")
    selection = open_selection(options)
    order = full_order(selection, options.sort)
    if options.reverse:
        order = ",".join(_reversed(key) for key in order.split(","))
    columns = _given_columns(selection, options.columns) if options.columns else None
    lists = selection.search(options.query, options.job, order)
    found = [[run._info for run in islice(runs, options.number or None)] for runs in lists]
    total = sum(
        len(runs) if options.number and len(page) == options.number else len(page)
        for runs, page in zip(lists, found, strict=True)
    )
    merged = found[0] if found else []
    if len(found) > 1:
        merged = sort_runs((run for page in found for run in page), order, value_of)
    shown = merged[: options.number] if options.number else merged
    if options.json:
        print(as_json({"total": total, "runs": [asdict(run) for run in shown]}))
        return
    if options.ids:
        print("".join(f"{run.entity}/{run.project}/{run.id}\n" for run in shown), end="")
    elif shown:
        several = selection.preferred is None
        columns = columns or _usual_columns(shown, order, several=several, jobs=bool(options.job))
        print(_as_fitting_table(columns, shown, terminal_width()))
    print(_count(selection, options, len(shown), total), file=sys.stderr)


def _count(selection: Selection, options: argparse.Namespace, shown: int, total: int) -> str:
    if total:
        more = " (-n 0 lists all)" if shown < total else ""
        return f"{shown} of {total} runs{more}"
    known = {place for place in selection.projects if place in selection.all_projects}
    where = f"project {'/'.join(selection.preferred)}" if selection.preferred else "any project"
    if known:
        return f"No run of {where} matches." if options.query or options.job else f"No run in {where}."
    others = sorted({each.entity for each in selection.api._reader.projects()})
    hint = f" Entities with runs: {', '.join(others)}." if others else ""
    return f"No run in {where} of entity {selection.api.settings['entity']}.{hint}"


def full_order(selection: Selection, text: str) -> str:
    """Return an order of runs with the prefixes that the user may leave out.

    Raises:
        UsageError: No run has a key.
    """
    return ",".join(_order_key(selection, key) for key in text.split(","))


def _order_key(selection: Selection, key: str) -> str:
    from tracker.store.queries.run_order import KEYED, ORDER_NAMES, ORDERS

    name = key.strip().lstrip("+-")
    sign = "-" if key.strip().startswith("-") else ""
    name = {"step": "last_step", "created": "created_at", "updated": "updated_at"}.get(name, name)
    name = ORDER_NAMES.get(name, name)
    if name == "age":
        return _reversed(f"{sign}created_at")
    if name in ORDERS or name.startswith(KEYED):
        return sign + name
    return sign + selection.values_of(name)[-1]


def _reversed(key: str) -> str:
    return key[1:] if key.startswith("-") else f"-{key}"


def _given_columns(selection: Selection, text: str) -> list[Column]:
    columns = []
    for name in (each.strip() for each in text.split(",") if each.strip()):
        known = _COLUMNS.get(_OTHER_NAMES.get(name, name))
        if known is None:
            fields = (
                [name] if name.startswith(("config.", "summary.")) else selection.fields_of(name, _COLUMNS)
            )
            known = _value_column(name, fields)
        columns.append(known)
    return columns


def _value_column(title: str, fields: Sequence[str], rank: int = 0) -> Column:
    def text(run: RunInfo) -> str:
        return next((as_value(found) for each in fields if (found := value_of(run, each)) is not None), "")

    return Column(one_line(title), text, right=None, rank=rank)


def value_of(run: RunInfo, field: str) -> Any:
    """Return the value of a field of a run, or None.

    Args:
        run: The run.
        field: The name of an attribute, ``config.KEY`` or ``summary.KEY``.
    """
    kind, dot, key = field.partition(".")
    if not dot:
        return getattr(run, field)
    values = getattr(run, kind)
    return values[key] if key in values else dict(flatten(values)).get(key)


def _usual_columns(runs: Sequence[RunInfo], order: str, *, several: bool, jobs: bool) -> list[Column]:
    names = ["name", "id", *(["project"] if several else []), *(["job"] if jobs else [])]
    names += ["state", "age", "duration", "step"]
    # The values that the order compares are never left out.
    ranks = {key: 0 for key in (each.lstrip("-") for each in order.split(",")) if "." in key}
    for key, rank in zip(usual_metrics(runs), (2, 4, 7), strict=False):
        ranks.setdefault(f"summary.{key}", rank)
    for at, key in enumerate(_varying(runs)):
        ranks.setdefault(f"config.{key}", 8 + at)
    values = [_value_column(field.partition(".")[2], [field], rank) for field, rank in ranks.items()]
    tags = [_COLUMNS["tags"]] if any(run.tags for run in runs) else []
    return [*(_COLUMNS[name] for name in names), *values, *tags]


def usual_metrics(runs: Iterable[RunInfo]) -> list[str]:
    """Return the keys of the summary with numbers that most runs have, and that people compare runs by."""
    counts = Counter(
        key
        for run in runs
        for key, value in flatten(run.summary)
        if type(value) in (int, float) and not key.startswith(("_", "system.")) and key not in COUNTERS
    )

    def place(key: str) -> tuple[int, int, str]:
        telling = next((at for at, word in enumerate(_TELLING) if word in key.lower()), len(_TELLING))
        return telling, -counts[key], key

    return sorted(counts, key=place)[:_METRICS]


def _varying(runs: Sequence[RunInfo]) -> list[str]:
    """Return the keys of the config whose value differs between the runs, and which most runs have."""
    values: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for run in runs:
        for key, value in flatten(run.config):
            if type(value) in (int, float, str, bool) and not key.startswith("_"):
                values.setdefault(key, set()).add(as_value(value))
                counts[key] += 1
    varying = [key for key in values if len(values[key]) > 1]

    def place(key: str) -> tuple[bool, int, int, str]:
        numbers = re.split(r"[._/]", key)[-1].lower() in _NUMBERING
        return numbers, -counts[key], -len(values[key]), key

    return sorted(varying, key=place)[:_SETTINGS]


def _as_fitting_table(columns: Sequence[Column], runs: Sequence[RunInfo], width: int | None) -> str:
    cells = [[column.title, *(column.text(run) for run in runs)] for column in columns]
    right = [
        all(map(_is_number, texts[1:])) if each.right is None else each.right
        for texts, each in zip(cells, columns, strict=True)
    ]
    widths = [max(map(width_of, column)) for column in cells]
    kept = list(range(len(columns)))

    def limited(most: int) -> list[int]:
        return [
            min(width, most) if each.shrinks else width for width, each in zip(widths, columns, strict=True)
        ]

    def total(of: Sequence[int]) -> int:
        return sum(of[at] for at in kept) + 2 * (len(kept) - 1)

    if width is not None:
        for at in sorted((at for at in kept if columns[at].rank), key=lambda at: -columns[at].rank):
            if total(limited(_NARROW)) > width:
                kept.remove(at)
        for at in kept if total(widths) > width else ():
            if columns[at].shrinks:
                cells[at][1:] = without_common_start(cells[at][1:])
                widths[at] = max(map(width_of, cells[at]))
        least = limited(_NARROWEST)
        while total(widths) > width and (wide := [at for at in kept if widths[at] > least[at]]):
            widths[max(wide, key=lambda at: widths[at])] -= 1
    rows = zip(*([shortened(cell, widths[at]) for cell in cells[at]] for at in kept), strict=True)
    return as_table(list(rows), right=[to for to, at in enumerate(kept) if right[at]])


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        return not cell or float(cell) is not None
    return False


def sort_runs(runs: Iterable[T], order: str, value: Callable[[T, str], Any]) -> list[T]:
    """Return runs of several projects in an order: numbers before texts, and runs without a value last.

    Args:
        runs: The runs.
        order: The order, as ``full_order`` returns it.
        value: Returns a field of a run.
    """
    found = sorted(runs, key=lambda run: -value(run, "created_at"))
    for key in reversed(order.split(",")):
        field = key.lstrip("-")
        placed: dict[int, list[tuple[Any, T]]] = {0: [], 1: [], 2: []}
        for run in found:
            each = value(run, field)
            placed[0 if isinstance(each, (int, float)) else 1 if isinstance(each, str) else 2].append(
                (each, run)
            )
        for rank in (0, 1):
            placed[rank].sort(key=lambda pair: pair[0], reverse=key.startswith("-"))
        found = [run for rank in placed for _, run in placed[rank]]
    return found
