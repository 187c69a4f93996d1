"""Pages of the runs of one project: which runs match, and the ids of one page in an order."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

from tracker.errors import UsageError
from tracker.store.catalog.revision_cache import cached
from tracker.store.catalog.sqlite import Reading, read_rows
from tracker.store.queries.conditions import TRUE, Condition, all_of, among
from tracker.store.queries.filter_fields import check_text
from tracker.store.queries.filters import Filter, has_archived
from tracker.store.queries.query_language import Query, parse_query, search_filter
from tracker.store.queries.run_order import (
    Key,
    Ordered,
    ordered,
    ordered_among,
    ordered_by_field,
    pack_cursor,
    parse_order,
    place_query,
    unpack_cursor,
)

LARGEST_PAGE = 1000
# The query first looks for a page among the runs that come first, at most this number, before it lists all
# matching runs.
LARGEST_WALK = 2000
# The columns with an index in the order. For other columns, the ids of all runs are kept in the order, if a
# project has at most this number of runs.
INDEXED = ("created_at", "updated_at")
LARGEST_ORDER = 50_000
# If at most this number of runs match, their ids are read first, and their order is that of a sort.
FEW = 500
# More runs than this with an equal first key are not sorted by the next key: the query walks its index.
LARGEST_SORT = 1000
_PROJECT = "SELECT id FROM projects WHERE entity = ? AND name = ?"


@dataclass(frozen=True, slots=True)
class Selection:
    """The runs of a project that match all of a filter, a query and a search.

    Attributes:
        entity: The entity of the project.
        project: The name of the project. An unknown project has no runs.
        search: Only runs whose name or id contains this text, without regard to case.
        filters: Only runs that match this filter: see ``tracker.store.queries.filters``. Without a condition
            on ``archived`` in it or in ``query``, archived runs do not match.
        query: Only runs that match this text: see ``tracker.store.queries.query_language``.
    """

    entity: str
    project: str
    search: str = ""
    filters: Any = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class PageAsked(Selection):
    """A page of a selection.

    Attributes:
        limit: The largest number of runs, up to 1000.
        offset: The number of runs to skip.
        order: Columns, ``summary.KEY`` or ``config.KEY``: see ``run_order.parse_order``.
        cursor: ``next`` of the page before; empty for the first page.
    """

    limit: int = 100
    offset: int = 0
    order: str = "-created_at"
    cursor: str = ""


class Page(NamedTuple):
    """A page of runs.

    Attributes:
        total: The number of all matching runs.
        ids: ``Run.id`` of the runs, in their order.
        next: The cursor of the next page; None if there are no more runs.
    """

    total: int
    ids: list[int]
    next: str | None


class _Found(NamedTuple):
    """The number of the matching runs, and their ids if they are known."""

    total: int
    ids: array[int] | None


def find_project(session: Reading, entity: str, project: str) -> int:
    """Return the number of a project in the catalog; 0 if it does not exist.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
    """
    names = (entity, project)
    found = cached(session, ("project", *names), lambda: read_rows(session, _PROJECT, names), lambda _: 200)
    return found[0][0] if found else 0


class Matching:
    """The runs of one project that match a selection.

    Args:
        session: A read transaction.
        asked: The selection.

    Raises:
        UsageError: The filter, the query or the search is invalid.
    """

    def __init__(self, session: Reading, asked: Selection) -> None:
        self.session = session
        self.project_id = find_project(session, asked.entity, asked.project)
        check_text(asked.search)
        self._key = (repr(asked.filters), asked.search, asked.query)
        query = parse_query(asked.query)
        parts = [asked.filters] if asked.filters else []
        parts += [query.filter] if query.filter else []
        parts += [search_filter(_quote(asked.search))] if asked.search else []
        is_all = not parts and not has_archived(session, self.project_id)
        self.filter = None if is_all else self._compile(parts or [{}], query)

    def _compile(self, parts: list[Any], query: Query) -> Filter:
        try:
            return Filter(self.session, self.project_id, parts[0] if len(parts) == 1 else {"$and": parts})
        except UsageError:
            for test in query.tests:
                try:
                    Filter(self.session, self.project_id, test.filter)
                except UsageError as error:
                    raise UsageError(f"query, character {test.position}: {error.message}") from None
            raise

    def count(self) -> int:
        """Return the number of the runs."""
        return self._found.total

    def count_all(self) -> int:
        """Return the number of all runs of the project."""
        sql = "SELECT count(*) FROM runs WHERE project_id = ?"
        read = partial(self._number, sql, (self.project_id,))
        return cached(self.session, ("all", self.project_id), read, lambda _: 200)

    def ids(self) -> array[int]:
        """Return the ids of the runs in any order."""
        return self._list() if self._found.ids is None else self._found.ids

    def few(self) -> array[int] | None:
        """Return the ids of the runs if there is a filter and at most ``FEW`` match, otherwise None."""
        return self.ids() if self.filter is not None and self._found.total <= FEW else None

    def on(self, run_id: str, *, probe: bool = False) -> Condition:
        """Return the condition on a column of ids of the project's runs: see ``Filter.on``."""
        if self.filter is None:
            return TRUE
        if self._found.ids is not None and not probe:
            return among(run_id, self._found.ids)
        return self.filter.on(run_id, probe=probe)

    def read_ids(self, sql: str, parameters: tuple[Any, ...]) -> list[int]:
        """Return the first column of a query."""
        return [run for (run, *_) in read_rows(self.session, sql, parameters)]

    @cached_property
    def _found(self) -> _Found:
        if self.filter is None:
            return _Found(self.count_all(), None)
        name = ("matching", self.project_id, *self._key)
        return cached(self.session, name, self._find, lambda found: 500 + 8 * len(found.ids or ()))

    def _find(self) -> _Found:
        assert self.filter is not None
        ranges = self.filter.ranges()
        if len(ranges) > 1 or (ranges and ranges[0].rest):
            # One of the tests may be true for few runs: then the others are tested for these only.
            for rows in ranges:
                sql = f"SELECT 1 FROM run_fields AS picked WHERE {rows.condition.sql} LIMIT {FEW + 1}"
                if len(read_rows(self.session, sql, rows.condition.parameters)) <= FEW:
                    return self._known(self._list_within(self.filter.within(rows, probe=True)))
        if not ranges or not ranges[0].of_fields:  # the query must read the runs: once
            return self._known(self._list())
        found = self.filter.within(ranges[0], probe=False)
        sql = f"SELECT count(*) FROM run_fields AS picked WHERE {found.sql}"
        total = self._number(sql, found.parameters)
        return _Found(total, None) if total > FEW else self._known(self._list_within(found))

    def _known(self, ids: array[int]) -> _Found:
        return _Found(len(ids), ids)

    def _list(self) -> array[int]:
        every = TRUE if self.filter is None else self.filter.on("runs.id")
        sql = f"SELECT id FROM runs WHERE project_id = ? AND {every.sql}"
        return array("q", self.read_ids(sql, (self.project_id, *every.parameters)))

    def _list_within(self, rows: Condition) -> array[int]:
        sql = f"SELECT picked.run_id FROM run_fields AS picked WHERE {rows.sql}"
        return array("q", self.read_ids(sql, rows.parameters))

    def _number(self, sql: str, parameters: tuple[Any, ...]) -> int:
        found: int = read_rows(self.session, sql, parameters)[0][0]
        return found


def find_page(session: Reading, asked: PageAsked) -> tuple[Matching, Page]:
    """Return the ids of one page.

    Args:
        session: A read transaction.
        asked: The page.

    Raises:
        UsageError: The order does not exist, or a filter, the query or the cursor is invalid.
    """
    matching = Matching(session, asked)
    keys = parse_order(session, matching.project_id, asked.order)
    cursor = unpack_cursor(asked.cursor, asked.order, keys) if asked.cursor else None
    if cursor and asked.offset:
        raise UsageError("a cursor already continues after a run: leave out the offset")
    total = matching.count()
    limit = min(asked.limit, LARGEST_PAGE)
    if limit <= 0 or asked.offset >= total:
        return matching, Page(total, [], None)
    ids = _Listing(matching, total).ids(keys, limit + 1, asked.offset, cursor)
    if len(ids) <= limit:
        return matching, Page(total, ids, None)
    ids = ids[:limit]
    place = place_query(matching.project_id, keys)
    values = read_rows(session, place.sql, (*place.parameters, ids[-1]))[0]
    return matching, Page(total, ids, pack_cursor(asked.order, values))


class _Listing:
    """Finds the ids of a page of matching runs.

    Args:
        matching: The runs.
        total: The number of the runs.
        equal: Fields, with the column of ``run_fields`` and the value that each run of the page has.
    """

    def __init__(self, matching: Matching, total: int, equal: tuple[tuple[str, str, Any], ...] = ()) -> None:
        self._matching = matching
        self._total = total
        self._equal = equal
        self._is_all = matching.filter is None and not equal

    def ids(self, keys: tuple[Key, ...], limit: int, offset: int, cursor: list[Any] | None) -> list[int]:
        """Return at most ``limit`` ids, after ``offset`` runs or after the place ``cursor``."""
        project_id = self._matching.project_id
        few = None if self._equal else self._matching.few()
        if few is not None:
            part = ordered_among(few, keys)
            return self._read(part if cursor is None else part.where(part.after(cursor)), limit, offset)
        if not keys[0].is_field:
            part = ordered(project_id, keys)
            if cursor is None and keys[0].name not in INDEXED and self._matching.count_all() <= LARGEST_ORDER:
                return self._part_of_kept(part, keys, limit, offset)
            return self._part(part, limit, offset, cursor)
        ids: list[int] = []
        start = cursor[0] if cursor else 0
        for rank, part in enumerate(ordered_by_field(project_id, keys)):
            if rank < start or len(ids) == limit:
                continue
            within = None
            if cursor and rank == start:
                within = [*([] if rank == 2 else [cursor[1 + rank]]), *cursor[3:]]
            if rank < 2 and len(keys) > 1 and (self._is_all or not offset):
                found = self._ties(part, keys, ("number", "text")[rank], limit - len(ids), offset, within)
            else:
                found = self._part(part, limit - len(ids), offset, within)
            ids += found
            if found or not offset:
                offset = 0
            else:  # the page begins after all of these
                offset -= self._count(part.where(self._on(part.run_id)))
        return ids

    def _ties(
        self,
        part: Ordered,
        keys: tuple[Key, ...],
        column: str,
        limit: int,
        offset: int,
        cursor: list[Any] | None,
    ) -> list[int]:
        """Return ids of a page, if many runs can have an equal first key.

        To sort many runs by the next key takes longer than to walk the index of that key.
        """
        first, *rest = keys
        rows = ordered_by_field(self._matching.project_id, (first,))[0 if column == "number" else 1]
        place = part.places[0]
        found: list[int] = []
        while len(found) < limit:
            if cursor is None:
                begin = self._value_at(rows, offset)
                if begin is None:
                    break
                value, within = begin, None
            else:
                value, *within = cursor
            if offset:
                offset -= self._count(rows.where(place.reversed().beyond(value)))
            size = self._count(rows.where(Condition(f"{place.expression} = ?", (value,))))
            if size <= LARGEST_SORT:
                return found + self._part(part.where(place.since(value)), limit - len(found), offset, cursor)
            inner = _Listing(self._matching, size, (*self._equal, (first.name, column, value)))
            found += inner.ids(tuple(rest), limit - len(found), offset, within)
            rows, part = (each.where(place.beyond(value)) for each in (rows, part))
            offset, cursor = 0, None
        return found

    def _value_at(self, part: Ordered, offset: int) -> Any:
        """Return the first value of the place of the run after ``offset`` runs; None if there are fewer."""
        expression, descending = part.places[0]
        sql = f"SELECT {expression} {part.source} ORDER BY {expression} {'DESC' if descending else ''}"
        rows = read_rows(self._matching.session, f"{sql} LIMIT 1 OFFSET ?", (*part.parameters, offset))
        return rows[0][0] if rows else None

    def _part_of_kept(self, part: Ordered, keys: tuple[Key, ...], limit: int, offset: int) -> list[int]:
        """Return ids of a page from the ids of all runs, which the database must sort for any page."""
        matching = self._matching
        every = cached(
            matching.session,
            ("order", matching.project_id, keys),
            lambda: array("q", self._read(part, -1, 0)),
            lambda ids: 8 * len(ids) + 200,
        )
        if self._is_all:
            return list(every[offset : offset + limit])
        wanted = self._to_walk(offset + limit)
        if wanted <= LARGEST_WALK:
            walked = every[:wanted]
            kept = all_of([among("runs.id", walked), self._on("runs.id", probe=True)])
            matches = set(matching.read_ids(f"SELECT id FROM runs WHERE {kept.sql}", kept.parameters))
            found = [run for run in walked if run in matches][offset : offset + limit]
            if len(found) == limit:
                return found
        kept = self._on("runs.id")
        sql = f"SELECT id FROM runs WHERE project_id = ? AND {kept.sql}"
        matches = set(matching.read_ids(sql, (matching.project_id, *kept.parameters)))
        return [run for run in every if run in matches][offset : offset + limit]

    def _part(self, part: Ordered, limit: int, offset: int, cursor: list[Any] | None) -> list[int]:
        part = part if cursor is None else part.where(part.after(cursor))
        wanted = self._to_walk(offset + limit)
        if not self._is_all and wanted <= LARGEST_WALK:
            # If many runs match, a few rows fill the page, and the matching runs need not all be listed.
            end = self._value_at(part, wanted) if part.places else None
            near = part if end is None else part.where(part.places[0].reversed().since(end))
            found = self._read(near.where(self._on(part.run_id, probe=True)), limit, offset)
            if len(found) == limit or end is None:
                return found
        return self._read(part.where(self._on(part.run_id)), limit, offset)

    def _to_walk(self, runs: int) -> int:
        """Return the number of all runs among which to look for some matching runs, if those are spread."""
        return 2 * runs * self._matching.count_all() // max(self._total, 1)

    def _on(self, run_id: str, *, probe: bool = False) -> Condition:
        conditions = [self._matching.on(run_id, probe=probe)]
        for field, column, value in self._equal:
            # Runs with an equal value are next to each other in this index. The primary key has each run on
            # another page.
            sql = f"SELECT tied.run_id FROM run_fields AS tied INDEXED BY ix_run_fields_{column} "
            sql += f"WHERE tied.project_id = ? AND tied.field = ? AND tied.{column} = ?"
            test = f"EXISTS ({sql} AND tied.run_id = {run_id})" if probe else f"{run_id} IN ({sql})"
            conditions.append(Condition(test, (self._matching.project_id, field, value)))
        return all_of(conditions)

    def _count(self, part: Ordered) -> int:
        rows = read_rows(self._matching.session, f"SELECT count(*) {part.source}", part.parameters)
        count: int = rows[0][0]
        return count

    def _read(self, part: Ordered, limit: int, offset: int) -> list[int]:
        sql = f"SELECT {part.run_id} {part.source} {part.order} LIMIT ? OFFSET ?"
        return self._matching.read_ids(sql, (*part.parameters, limit, offset))


def _quote(text: str) -> str:
    r"""Return a pattern for exactly this text. RE2 takes everything between \Q and \E as it is."""
    return "\\Q" + text.replace("\\E", "\\E\\\\E\\Q") + "\\E"
