"""Pages of the runs of one project: which runs match, and the ids of one page in an order."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, select, true
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.store.catalog.models import Project, Run
from tracker.store.catalog.revision_cache import cached
from tracker.store.catalog.sqlite import among, encode_ids
from tracker.store.queries.filter_fields import check_text
from tracker.store.queries.filters import Filter, has_archived
from tracker.store.queries.query_language import Query, parse_query, search_filter
from tracker.store.queries.run_order import (
    Key,
    Ordered,
    ordered,
    ordered_by_field,
    pack_cursor,
    parse_order,
    place_query,
    unpack_cursor,
)

LARGEST_PAGE = 1000
# The query first looks for a page among this many times as many runs, before it lists all matching runs.
WALKED = 4
LARGEST_WALK = 4000
# The columns with an index in the order. For other columns, the ids of all runs are kept in the order, if a
# project has at most this number of runs.
INDEXED = ("created_at", "updated_at")
LARGEST_ORDER = 50_000
_PROJECT = select(Project.id).where(
    Project.entity == bindparam("entity"), Project.name == bindparam("project")
)


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


class Matching:
    """The runs of one project that match a selection.

    Args:
        session: A read transaction.
        asked: The selection.

    Raises:
        UsageError: The filter, the query or the search is invalid.
    """

    def __init__(self, session: Session, asked: Selection) -> None:
        self.session = session
        names = {"entity": asked.entity, "project": asked.project}
        self.project_id = session.connection().execute(_PROJECT, names).scalar() or 0
        check_text(asked.search)
        self._key = (repr(asked.filters), asked.search, asked.query)
        query = parse_query(asked.query)
        parts = [asked.filters] if asked.filters else []
        parts += [query.filter] if query.filter else []
        parts += [search_filter(_quote(asked.search))] if asked.search else []
        hides = cached(
            session,
            ("archived", self.project_id),
            lambda: has_archived(session, self.project_id),
            lambda _: 200,
        )
        self.filter = self._compile(parts or [{}], query) if parts or hides else None

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
        return cached(self.session, ("count", self.project_id, *self._key), self._count, lambda _: 500)

    def count_all(self) -> int:
        """Return the number of all runs of the project."""
        query = select(func.count(Run.id)).where(Run.project_id == self.project_id)
        read = self.session.connection
        return cached(
            self.session, ("all", self.project_id), lambda: read().execute(query).scalar() or 0, lambda _: 200
        )

    def _count(self) -> int:
        query = select(func.count(Run.id)).where(Run.project_id == self.project_id)
        query = query if self.filter is None else self.filter.counted()
        return self.session.connection().execute(query).scalar() or 0

    def probe(self) -> ColumnElement[bool]:
        """Return the condition on ``Run.id`` that tests each run that a query reads."""
        return true() if self.filter is None else self.filter.on(Run.id, probe=True)

    def restrict(self, query: Select[Any], run_id: Any) -> Select[Any]:
        """Add the filter to a query over a column of ids of the project's runs."""
        return query if self.filter is None else query.where(self.filter.on(run_id))


def find_page(session: Session, asked: PageAsked) -> tuple[Matching, Page]:
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
    values = session.connection().execute(place, {"run": ids[-1]}).one()
    return matching, Page(total, ids, pack_cursor(asked.order, values))


class _Listing:
    """Finds the ids of a page of matching runs."""

    def __init__(self, matching: Matching, total: int) -> None:
        self._matching = matching
        self._total = total

    def ids(self, keys: tuple[Key, ...], limit: int, offset: int, cursor: list[Any] | None) -> list[int]:
        """Return at most ``limit`` ids, after ``offset`` runs or after the place ``cursor``."""
        if not keys[0].is_field:
            part = ordered(self._matching.project_id, keys)
            if cursor is None and keys[0].name not in INDEXED and self._matching.count_all() <= LARGEST_ORDER:
                return self._part_of_kept(part, keys, limit, offset)
            return self._part(part, limit, offset, cursor)
        ids: list[int] = []
        start = cursor[0] if cursor else 0
        for rank, part in enumerate(ordered_by_field(self._matching.project_id, keys)):
            if rank < start or len(ids) == limit:
                continue
            within = None
            if cursor and rank == start:
                within = [*([] if rank == 2 else [cursor[1 + rank]]), *cursor[3:]]
            found = self._part(part, limit - len(ids), offset, within)
            ids += found
            if found or not offset:
                offset = 0
            else:  # the page begins after all of these
                counted = part.query.with_only_columns(func.count(part.run_id), maintain_column_froms=True)
                counted = self._matching.restrict(counted, part.run_id)
                offset -= self._matching.session.scalar(counted) or 0
        return ids

    def _part_of_kept(self, part: Ordered, keys: tuple[Key, ...], limit: int, offset: int) -> list[int]:
        """Return ids of a page from the ids of all runs, which the database must sort for any page."""
        matching = self._matching
        every = cached(
            matching.session,
            ("order", matching.project_id, keys),
            lambda: array("q", self._ids(part.page, limit=-1, offset=0)),
            lambda ids: 8 * len(ids) + 200,
        )
        if matching.filter is None:
            return list(every[offset : offset + limit])
        wanted = WALKED * (offset + limit)
        if wanted <= min(self._total, LARGEST_WALK):
            walked = every[:wanted]
            matches = self._probe(walked)
            found = [run for run in walked if run in matches][offset : offset + limit]
            if len(found) == limit:
                return found
        query = select(Run.id).where(Run.project_id == matching.project_id)
        matches = set(self._ids(matching.restrict(query, Run.id)))
        return [run for run in every if run in matches][offset : offset + limit]

    def _part(self, part: Ordered, limit: int, offset: int, cursor: list[Any] | None) -> list[int]:
        query = part.page if cursor is None else part.page.where(part.after(cursor))
        wanted = WALKED * (offset + limit)
        if self._matching.filter is not None and wanted <= min(self._total, LARGEST_WALK):
            # If many runs match, a few rows fill the page, and the matching runs need not all be listed.
            walked = self._ids(query, limit=wanted, offset=0)
            matches = self._probe(walked)
            found = [run for run in walked if run in matches][offset : offset + limit]
            if len(found) == limit or len(walked) < wanted:
                return found
        run_id = Run.id if part.run_id is Run.__table__.c.id else part.run_id
        return self._ids(self._matching.restrict(query, run_id), limit=limit, offset=offset)

    def _probe(self, walked: Iterable[int]) -> set[int]:
        """Return which runs match, with a test of each of them."""
        kept = select(Run.id).where(among(Run.id, bindparam("walked")), self._matching.probe())
        return set(self._ids(kept, walked=encode_ids(walked)))

    def _ids(self, query: Select[Any], **parameters: Any) -> list[int]:
        found = self._matching.session.connection().execute(query, parameters).all()
        return [run for (run,) in found]


def _quote(text: str) -> str:
    r"""Return a pattern for exactly this text. RE2 takes everything between \Q and \E as it is."""
    return "\\Q" + text.replace("\\E", "\\E\\\\E\\Q") + "\\E"
