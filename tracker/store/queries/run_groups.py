"""Groups of the runs of a project by values of columns, config and summary, with statistics of metrics.

The values come from ``run_fields``, by ranges of its indexes. Values are equal as in filters: true is 1, and
NaN is equal to NaN. All matching runs count; nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, TypeVar

import msgspec
import numpy as np
from sqlalchemy import Select, Text, literal, select, type_coerce
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground import values
from tracker.ground.run_groups import MetricStatistics, RunGroup, RunGroups
from tracker.runstate.statistics import group_statistics
from tracker.store.catalog.models import Run, RunField
from tracker.store.catalog.revision_cache import revision
from tracker.store.catalog.run_index import NONFINITE_TEXT, value_of
from tracker.store.catalog.sqlite import Reading, among
from tracker.store.queries.filter_fields import check_text
from tracker.store.queries.filters import canonical, resolve
from tracker.store.queries.run_order import ORDER_NAMES, ORDERS, split_names
from tracker.store.queries.run_pages import LARGEST_PAGE, Matching, Selection
from tracker.store.queries.run_rows import find_key

LARGEST_BY = 20
LARGEST_METRICS = 200
T = TypeVar("T")
STATISTICS = tuple(each.name for each in fields(MetricStatistics))
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])

# A value of a key of groups: its rank (number, string, list or dict, no value), and a part that is equal in
# equal values.
Value = tuple[int, Any]
NUMBER, STRING, OTHER, MISSING = range(4)
NO_VALUE: Value = (MISSING, 0)


@dataclass(frozen=True, slots=True)
class GroupsAsked(Selection):
    """A page of groups of a selection of runs.

    Attributes:
        by: Columns of ``ORDERS``, ``tag`` (a run is in the group of each of its tags), ``tags`` (the set of
            all tags), ``config.KEY`` or ``summary.KEY``.
        all_but: Group by all keys of the config except these, instead of ``by``. None: use ``by``.
        metrics: Keys of the summary.
        limit: The largest number of groups, up to 1000.
        offset: The number of groups to skip.
        order: ``runs``, a key of ``by``, or ``METRIC:STATISTIC``, several with commas; with ``-`` in front,
            descending. By default the keys of ``by``. Of equal groups, that with the newest run comes first.
    """

    by: Sequence[str] = ()
    all_but: Sequence[str] | None = None
    metrics: Sequence[str] = ()
    limit: int = 100
    offset: int = 0
    order: str = ""


def group_runs(session: Session, asked: GroupsAsked) -> RunGroups:
    """Return groups of runs.

    Args:
        session: A read transaction.
        asked: The groups.

    Raises:
        UsageError: A key, a metric or the order does not exist, or there are too many, or the selection is
            invalid.
    """
    if bool(asked.by) == (asked.all_but is not None):
        raise UsageError("groups: name either the keys of the groups, or the config keys to leave out")
    if len(asked.by) > LARGEST_BY or len(asked.metrics) > LARGEST_METRICS:
        raise UsageError(f"groups: there are more than {LARGEST_BY} keys or {LARGEST_METRICS} metrics")
    for name in (*asked.by, *(asked.all_but or ()), *asked.metrics):
        check_text(name)
    matching = Matching(session, asked)
    grouping = _Grouping(matching)
    if asked.all_but is not None:
        grouping.split_by_config(asked.all_but)
    for name in asked.by:
        grouping.split_by(name)
    found = grouping.found()
    metrics = {name: _metric(matching, name, found) for name in asked.metrics}
    order = _order(asked.order or ",".join(asked.by), found, metrics)
    page = order[asked.offset :][: min(asked.limit, LARGEST_PAGE)]
    newest = {row[0]: row[1:] for row in _read(session, _newest(found, page))}
    groups = []
    for at in page:
        run_id, *stored = newest[found.newest[at]]
        shown = {name: _shown(name, found.values[name][at], stored) for name in found.values}
        size = int(found.sizes[at])
        groups.append(RunGroup(shown, size, run_id, {name: rows[at] for name, rows in metrics.items()}))
    return RunGroups(len(order), len(np.unique(found.ids)), revision(session), list(found.values), groups)


def parse_keys(texts: Iterable[str]) -> list[str]:
    """Return the names of lists such as ``state,config.lr``, without repetition."""
    known = (*ORDERS, *ORDER_NAMES, "tag", "tags")
    return list(dict.fromkeys(chain.from_iterable(split_names(text, known) for text in texts if text)))


@dataclass(frozen=True, slots=True)
class _Found:
    """Groups: for each run (ids ascending) its group, and for each group its values, size and newest run.

    In groups by tag, a run is there once for each of its tags.
    """

    ids: Any
    groups: Any
    values: dict[str, list[Value]]
    sizes: Any
    newest: list[int]


class _Grouping:
    """Splits the matching runs into groups, by one key after the other."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching
        self._ids = sorted(matching.ids())  # ORDER BY would read all columns
        self._matches = frozenset(self._ids)
        self._groups: Any = np.zeros(len(self._ids), np.int64)
        self._values: dict[str, list[Value]] = {}

    def split_by(self, name: str) -> None:
        """Split the groups by a column, the tags, or a key of config or summary."""
        known = ORDER_NAMES.get(canonical(name), name)
        if known == "tag":
            self._values[name] = self._split(self._repeat_by_tag())
            return
        if known == "tags":
            rows = self._read(self._select(Run.id, type_coerce(Run.tags, Text)))
            found = {run: (OTHER, values.dumps(sorted(values.loads(tags)))) for run, tags in rows}
        elif known in ORDERS:
            rows = self._read(self._select(Run.id, ORDERS[known]))
            found = {run: _plain(value) for run, value in rows if value is not None}
        elif canonical(name).startswith(("config.", "summary.")):
            found = self._of_field(resolve(self._matching.session, self._matching.project_id, name))
        else:
            raise UsageError(
                f"groups: cannot group by {name!r}: use {', '.join(ORDERS)}, tag, tags, config.KEY or "
                "summary.KEY"
            )
        self._values[name] = self._split([found.get(run, NO_VALUE) for run in self._ids])

    def split_by_config(self, left_out: Sequence[str]) -> None:
        """Split the groups by all keys of the config except ``left_out`` and the keys within them."""
        names = [name.removeprefix("config.") for name in left_out]
        # Most runs differ in few values only: each distinct text is looked at once.
        texts: dict[Any, list[int]] = {}
        for run, text in self._read(self._select(Run.id, type_coerce(Run.config, Text))):
            config = _KEYS.decode(text)
            for name in names:
                config.pop(name, None)
            texts.setdefault(frozenset((key, bytes(raw)) for key, raw in config.items()), []).append(run)
        inner = tuple(f"{name}." for name in names)
        known: dict[Any, list[tuple[str, Value]]] = {}
        found: dict[int, frozenset[tuple[str, Value]]] = {}
        for items, runs in texts.items():
            whole: list[tuple[str, Value]] = []
            for item in items:
                leaves = known.get(item)
                if leaves is None:
                    leaves = known[item] = [
                        (f"config.{name}", _plain(value))
                        for name, value in _leaves({item[0]: values.loads(item[1])})
                        if value is not None and name not in names and not name.startswith(inner)
                    ]
                whole += leaves
            found.update(dict.fromkeys(runs, frozenset(whole)))
        split = self._split([found.get(run, frozenset()) for run in self._ids])
        configs = [dict(config) for config in split]
        for name in sorted({name for config in configs for name in config}):
            self._values[name] = [config.get(name, NO_VALUE) for config in configs]

    def found(self) -> _Found:
        """Return the groups."""
        ids = np.array(self._ids, np.int64)
        sizes = np.bincount(self._groups)
        newest = np.zeros(len(sizes), np.int64)
        np.maximum.at(newest, self._groups, ids)
        return _Found(ids, self._groups, self._values, sizes, newest.tolist())

    def _of_field(self, field: str) -> dict[int, Value]:
        of_field = (RunField.project_id == self._matching.project_id, RunField.field == field)
        found: dict[int, Value] = {}
        for rank, column in ((NUMBER, RunField.number), (STRING, RunField.text)):  # an index has each of them
            rows = self._read(select(RunField.run_id, column).where(*of_field, column.is_not(None)))
            found.update((run, (rank, value)) for run, value in rows)
        rows = self._read(select(RunField.run_id).where(*of_field, RunField.number.is_(None)))
        others = [run for (run,) in rows if run not in found and run in self._matches]
        source, _, key = field.partition(".")
        stored = Run.config if source == "config" else Run.summary
        for run, text in self._read(select(Run.id, type_coerce(stored, Text)).where(among(Run.id, others))):
            value = find_key(text, key)
            found[run] = NO_VALUE if value is None else _plain(values.loads(value))
        return found

    def _repeat_by_tag(self) -> list[Value]:
        """Repeat each run for each of its tags; return the tags of these rows."""
        rows = self._read(self._select(Run.id, type_coerce(Run.tags, Text)))
        tags = {run: dict.fromkeys(values.loads(text)) for run, text in rows}
        repeated = [(at, tag) for at, run in enumerate(self._ids) for tag in tags.get(run) or (None,)]
        self._groups = self._groups[[at for at, _ in repeated]]
        self._ids = [self._ids[at] for at, _ in repeated]
        return [NO_VALUE if tag is None else (STRING, tag) for _, tag in repeated]

    def _split(self, found: list[T]) -> list[T]:
        """Split the groups by a value of each run; return the value of each new group."""
        known: dict[T, int] = {}
        codes = np.array([known.setdefault(value, len(known)) for value in found], np.int64)
        joined = self._groups * max(len(known), 1) + codes
        _, first, groups = np.unique(joined, return_index=True, return_inverse=True)
        before = self._groups[first].tolist()
        self._values = {name: [column[at] for at in before] for name, column in self._values.items()}
        self._groups = groups
        every = list(known)
        return [every[codes[at]] for at in first]

    def _select(self, *columns: Any) -> Select[Any]:
        return select(*columns).where(Run.project_id == self._matching.project_id)

    def _read(self, query: Any) -> list[Any]:
        return _read(self._matching.session, query)


def _metric(matching: Matching, name: str, found: _Found) -> list[MetricStatistics]:
    """Return the statistics of one metric in each group."""
    field = canonical(name)
    if not field.startswith(("config.", "summary.")):
        field = f"summary.{name}"
    if field in ORDER_NAMES:
        column = ORDERS[ORDER_NAMES[field]]
        query = select(Run.id, column).where(Run.project_id == matching.project_id, column.is_not(None))
        strange = query.where(Run.id.is_(None))
    else:
        field = resolve(matching.session, matching.project_id, field)
        of_field = (RunField.project_id == matching.project_id, RunField.field == field)
        query = select(RunField.run_id, RunField.number).where(*of_field, RunField.number.is_not(None))
        texts = ("NaN", *NONFINITE_TEXT.values())
        strange = select(RunField.run_id, literal(0.0)).where(*of_field, RunField.text.in_(texts))
    (groups, numbers), (nonfinite, _) = (
        _placed(_read(matching.session, each), found) for each in (query, strange)
    )
    count = len(found.newest)
    return group_statistics(groups, numbers, found.sizes, np.bincount(nonfinite, minlength=count))


def _placed(rows: list[Any], found: _Found) -> tuple[Any, Any]:
    """Return the group and the number of each row whose run matches, from rows of ids and numbers."""
    if not rows or not len(found.ids):
        return np.zeros(0, np.int64), np.zeros(0)
    flat = np.fromiter(chain.from_iterable(rows), np.float64, 2 * len(rows)).reshape(-1, 2)
    asked, numbers = flat[:, 0].astype(np.int64), flat[:, 1]
    first = np.searchsorted(found.ids, asked)
    counts = np.searchsorted(found.ids, asked, "right") - first  # 0 for a run that does not match
    at = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return found.groups[at], np.repeat(numbers, counts)


def _order(order: str, found: _Found, metrics: dict[str, list[MetricStatistics]]) -> list[int]:
    """Return the numbers of the groups in an order."""
    columns: dict[str, list[Value]] = {
        "runs": [(NUMBER, size) for size in found.sizes.tolist()],
        **found.values,
    }
    places = sorted(range(len(found.newest)), key=lambda at: -found.newest[at])
    for name in reversed(_split_order(order, found, metrics)):
        key = name.lstrip("+-")
        column = columns.get(key)
        if column is None:
            metric, _, statistic = key.rpartition(":")
            numbers = [getattr(row, statistic) for row in metrics[metric]]
            column = [NO_VALUE if number is None else (NUMBER, number) for number in numbers]
        # Groups without a value come last in both directions. Both sorts keep the order of equal groups.
        places.sort(key=lambda at, column=column: column[at], reverse=name.startswith("-"))  # type: ignore[misc]
        places.sort(key=lambda at, column=column: column[at][0])  # type: ignore[misc]
    return places


def _split_order(order: str, found: _Found, metrics: Iterable[str]) -> list[str]:
    known = {"runs", *found.values, *(f"{metric}:{each}" for metric in metrics for each in STATISTICS)}
    names, part = [], ""
    for piece in order.split(",") if order else []:  # a name can contain commas
        part = f"{part},{piece}" if part else piece.strip()
        if part.lstrip("+-") in known:
            names.append(part)
            part = ""
    if part:
        raise UsageError(
            f"groups: cannot order by {part!r}: use runs, a key of the groups, or METRIC:STATISTIC with "
            f"one of {', '.join(STATISTICS)}"
        )
    return names


def _newest(found: _Found, page: list[int]) -> Select[Any]:
    """Return the query for the newest run of each group, with its config and summary if they are shown."""
    columns: list[Any] = []
    for source in ("config", "summary"):
        shown = any(canonical(name).startswith(f"{source}.") for name in found.values)
        columns.append(type_coerce(getattr(Run, source) if shown else None, Text))
    query: Select[Any] = select(Run.id, Run.run_id, *columns)
    return query.where(among(Run.id, [found.newest[at] for at in page]))


def _shown(name: str, value: Value, stored: Sequence[str | None]) -> Any:
    """Return the value of a key of a group, as the newest run of the group has it."""
    if value[0] == MISSING:
        return None
    source, _, key = canonical(name).partition(".")
    text = stored[("config", "summary").index(source)] if source in ("config", "summary") else None
    if text is not None and (found := find_key(text, key)) is not None:
        return values.loads(found)
    return values.loads(value[1]) if value[0] == OTHER else value[1]


def _plain(value: Any) -> Value:
    """Return a plain value of a run as a value of a key."""
    if value is None:
        return NO_VALUE
    indexed = value_of(value)
    if indexed.number is not None:
        return (NUMBER, indexed.number)
    return (OTHER, values.dumps(value, sort_keys=True)) if indexed.text is None else (STRING, indexed.text)


def _leaves(config: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield the keys of a config that are not dicts, those of nested dicts joined by dots."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from ((f"{key}.{name}", inner) for name, inner in _leaves(value))
        else:
            yield key, value


def _read(session: Reading, query: Any) -> list[Any]:
    """Return rows as plain tuples of the driver, which are much faster for many rows."""
    assert isinstance(session, Session)
    result = session.connection().execute(query)
    rows = list(result.cursor.fetchall()) if result.cursor else []
    result.close()
    return rows
