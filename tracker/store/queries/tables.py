"""Queries about the tables that a run logged: pages, groups, and the comparison of two tables."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.orm import Session

from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import table_copy_path
from tracker.ground.read_models import TablePage
from tracker.ground.table_answers import ComparedTable, Shown, TableComparison, TableGroups
from tracker.store.catalog.models import Run, RunFile
from tracker.store.queries.history import open_history
from tracker.store.queries.media import run_file
from tracker.store.queries.runs import get_run
from tracker.store.store import Store

if TYPE_CHECKING:
    from tracker.store.history.json_tables import LoggedTable

TABLES = ("table-file", "eval-table", "incremental-table-file")
# The client's reference to the same table in an artifact.
_REFERENCE = "wandb-client-artifact://"
# The largest table that is read, in bytes of JSON.
LARGEST_TABLE = 1024 * 1024 * 1024
# Bytes of converted tables that stay on the disk for the next request.
KEPT_BYTES = 1024 * 1024 * 1024


class TablePlace(NamedTuple):
    """A table of a run: the path of the run, the key, and the step. Step None: the last one."""

    run: tuple[str, str, str]
    key: str
    step: int | None = None


class _Content(NamedTuple):
    """The content of a logged table.

    Attributes:
        step: The step at which it was logged.
        steps: All steps with a table of this key.
        path: The path of its file in the run.
        files: The content of the file, and of earlier ones for an incremental table (SHA-256).
        size: The size of these files in bytes.
        copies: The same with the media of the cells, if the run has them apart.
    """

    step: int
    steps: list[int]
    path: str
    files: tuple[str, ...]
    size: int
    copies: tuple[str, ...]


class _Tables:
    """The tables that were converted last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], LoggedTable] = OrderedDict()
        self._lock = threading.Lock()
        self._converting = threading.Lock()  # one conversion at a time, because each needs memory

    def get(self, store: Store, content: _Content) -> LoggedTable:
        """Return a table, converted now or before."""
        from tracker.store.history.json_tables import convert_tables, with_media

        name = (*content.files, *content.copies)
        found = self._find(name)
        if found is None:
            with self._converting:
                found = self._find(name)
                if found is None:
                    found = convert_tables(map(store.blobs.chunks, content.files))
                    if content.copies:
                        found = with_media(found, convert_tables(map(store.blobs.chunks, content.copies)))
                    self._keep(name, found)
        return found

    def _find(self, files: tuple[str, ...]) -> LoggedTable | None:
        with self._lock:
            if files in self._kept:
                self._kept.move_to_end(files)
            return self._kept.get(files)

    def _keep(self, files: tuple[str, ...], table: LoggedTable) -> None:
        with self._lock:
            self._kept[files] = table
            while self._kept and sum(each.data.nbytes for each in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)


_tables = _Tables()


def table_page(
    store: Store,
    place: TablePlace,
    *,
    filters: dict[str, Any] | None = None,
    order: Sequence[str] = (),
    offset: int = 0,
    limit: int = 50,
) -> TablePage:
    """Return a page of a logged table.

    Args:
        store: The store.
        place: The table.
        filters: Return only rows that match this filter. See ``TableQuery``.
        order: Columns to sort by, the most important first. A ``-`` in front reverses the order.
        offset: The first row of the page.
        limit: The largest number of rows.

    Raises:
        NotFoundError: There is no table under this key and step, or its content is not in the store.
        UsageError: The filter or the order is not valid, or the table is too large.
        StoreError: The content is not a table.
    """
    from tracker.store.queries.table_query import TableQuery

    content, table = _open(store, place)
    query = TableQuery(table)
    places = query.sort(query.choose(filters or {}), order)
    rows = table.rows(places[offset : offset + limit])
    total = len(table.data)
    return TablePage(
        place.key, content.step, content.steps, content.path, table.columns, total, rows, len(places)
    )


def table_groups(
    store: Store,
    place: TablePlace,
    *,
    by: Sequence[str],
    columns: Sequence[str] | None = None,
    filters: dict[str, Any] | None = None,
    offset: int = 0,
    limit: int = 50,
) -> TableGroups:
    """Return a page of the groups of a logged table, the largest group first. For errors see ``table_page``.

    Args:
        store: The store.
        place: The table.
        by: The columns whose values make a group.
        columns: The columns with statistics. None: all with numbers, at most 50.
        filters: Group only rows that match this filter.
        offset: The first group of the page.
        limit: The largest number of groups.
    """
    from tracker.store.queries.table_query import TableQuery

    content, table = _open(store, place)
    query = TableQuery(table)
    places = query.choose(filters or {})
    total, groups = query.group(places, by, columns, slice(offset, offset + limit))
    return TableGroups(place.key, content.step, list(by), total, len(places), groups)


def compare_tables(
    store: Store,
    left: TablePlace,
    right: TablePlace,
    *,
    on: Sequence[str] = (),
    show: Shown = "differences",
    offset: int = 0,
    limit: int = 50,
) -> TableComparison:
    """Compare two logged tables, whose rows are joined by the values of some columns.

    For errors see ``table_page``.

    Args:
        store: The store.
        left: The left table.
        right: The right table.
        on: The joined columns. Empty: rows with the same number are joined. Rows with equal values are joined
            in their order.
        show: The rows to return: a status, ``all``, or ``differences`` (all but ``same``).
        offset: The first row of the page.
        limit: The largest number of rows.
    """
    from tracker.store.queries.table_comparison import Comparison

    opened = [_open(store, place) for place in (left, right)]
    found = Comparison(opened[0][1], opened[1][1], on)
    sides = [
        ComparedTable(place.run[2], place.key, content.step, rows, only)
        for place, (content, _), (rows, only) in zip((left, right), opened, found.sides, strict=True)
    ]
    total, rows = found.page(show, slice(offset, offset + limit))
    return TableComparison(
        sides[0], sides[1], list(on), found.columns, found.counts, found.changed, total, rows
    )


def _open(store: Store, place: TablePlace) -> tuple[_Content, LoggedTable]:
    content = store.answer(lambda session: _find(store, session, place))
    if content.size > LARGEST_TABLE:
        raise UsageError(
            f"the table has {content.size} bytes, more than {LARGEST_TABLE}: download its file {content.path}"
        )
    return content, _tables.get(store, content)


def _find(store: Store, session: Session, place: TablePlace) -> _Content:
    from tracker.store.history.export import history_rows

    run, key = get_run(session, *place.run), place.key
    with open_history(session, run, store.root, [key]) as opened:
        logged = {
            row["_step"]: row[key]
            for row in history_rows(opened)
            if isinstance(row[key], dict) and row[key].get("_type") in TABLES
        }
    if not logged:
        raise NotFoundError(f"run {run.run_id} has no table {key!r}")
    at = max(logged) if place.step is None else place.step
    if at not in logged:
        raise NotFoundError(f"run {run.run_id} has no table {key!r} at step {at}")
    tables = [logged[at]]
    if logged[at]["_type"] == "incremental-table-file":  # each step has only the rows that were new then
        tables = [logged[step] for step in sorted(logged) if step < at] + tables
    found = [run_file(session, run, table["path"]) for table in tables]
    copies = [_copy(session, run, table) for table in tables]
    known = [copy for copy in copies if copy is not None]
    used = known if len(known) == len(copies) else []
    return _Content(
        at,
        sorted(logged),
        logged[at]["path"],
        tuple(each.sha256 for each in found),
        sum(each.size for each in (*found, *used)),
        tuple(each.sha256 for each in used),
    )


def _copy(session: Session, run: Run, table: dict[str, Any]) -> RunFile | None:
    """Return the copy of a table whose cells have media; None if the run has none."""
    client_id, _, path = str(table.get("artifact_path")).removeprefix(_REFERENCE).partition("/")
    return session.get(RunFile, (run.id, table_copy_path(client_id, path)))
