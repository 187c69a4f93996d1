"""``Runs``: the runs of a project that match a filter, fetched page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

from tracker.api.data_frames import frame_of
from tracker.api.run import Run
from tracker.errors import ApiUsageError, UsageError
from tracker.ground.read_models import RunInfo, RunPage
from tracker.ground.values import dumps, to_plain
from tracker.reading.reader import Reader

# The largest number of runs in one answer of a server.
LARGEST_PAGE = 1000


class Runs:
    """The runs of a project that match a filter, fetched page by page (wandb: ``apis/public/runs.py``).

    ``len``, indices, slices, ``next(runs)`` and several loops at the same time work. Each run has the values
    from when its page was fetched; ``Run.load`` reads them again.

    Attributes:
        entity: The entity of the project.
        project: The project.
        filters: The given filter.
        order: The given order.
        per_page: The number of runs in one request.
    """

    def __init__(
        self,
        reader: Reader,
        entity: str,
        project: str,
        filters: dict[str, Any] | None,
        order: str,
        per_page: int,
        query: str = "",
    ) -> None:
        self._reader = reader
        self._project_path = (entity, project)
        self._filters = _plain_filters(filters)
        self._query = query
        self._next: Iterator[Run] | None = None
        self.entity, self.project = entity, project
        self.filters = filters or {}
        self.order = order or "+created_at"
        self.per_page = min(max(per_page, 1), LARGEST_PAGE)

    def __iter__(self) -> Iterator[Run]:
        offset = 0
        while page := self._page(self.per_page, offset).runs:
            yield from (Run(self._reader, run) for run in page)
            if len(page) < self.per_page:
                return
            offset += len(page)

    def __next__(self) -> Run:
        if self._next is None:
            self._next = iter(self)
        return next(self._next)

    def next(self) -> Run:
        """Return the next run, as ``next(runs)`` does.

        Raises:
            StopIteration: All runs have been returned.
        """
        return self.__next__()

    @property
    def objects(self) -> list[Run]:
        """All matching runs, fetched now. In wandb, this is the list of the runs fetched so far."""
        return list(self)

    @property
    def more(self) -> bool:
        """Whether a caller must fetch further pages. Always False: a loop fetches all pages."""
        return False

    def upgrade_to_full(self) -> None:
        """Do nothing. Runs always have all their fields here."""

    def histories(
        self,
        samples: int | None = None,
        keys: list[str] | None = None,
        x_axis: str = "_step",
        format: str = "default",
        stream: str = "default",
    ) -> Any:
        """Return the histories of all runs in one table. Each row has the key ``run_id``.

        Args:
            samples: The maximum number of rows of each run; by default all rows (in wandb 500).
            keys: See ``Run.history``.
            x_axis: See ``Run.history``.
            format: ``"default"`` for a list of dicts, ``"pandas"`` or ``"polars"`` for a DataFrame.
            stream: ``"default"`` for logged rows, ``"system"`` for system metrics.

        Raises:
            ApiUsageError: The format or the stream is unknown.
            ImportError: The package pandas or polars is not installed.
        """
        if format not in ("default", "pandas", "polars"):
            raise ApiUsageError(f"Invalid format: {format}. Must be one of 'default', 'pandas', 'polars'")
        rows = [
            {**row, "run_id": run.id}
            for run in self
            for row in run.history(samples, keys, x_axis, pandas=False, stream=stream)
        ]
        if format == "default":
            return rows
        if format == "pandas":
            frame = frame_of(rows)
            return frame[sorted(frame.columns)]
        import polars

        table = polars.from_dicts(rows, infer_schema_length=None) if rows else polars.DataFrame()
        return table.select(sorted(table.columns))

    def __len__(self) -> int:
        return self._page(0, 0).total

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if isinstance(index, slice):
            return self._slice(index)
        at = index if index >= 0 else index + len(self)
        page = self._page(1, at).runs if at >= 0 else []
        if not page:
            raise IndexError(index)
        return Run(self._reader, page[0])

    def _slice(self, index: slice) -> list[Run]:
        # The number of runs costs a request. Only bounds that count from the end need it.
        bounds = [each for each in (index.start, index.stop, index.step) if each is not None]
        size = len(self) if index.stop is None or min(bounds) < 0 else index.stop
        wanted = range(size)[index]
        first, last = (min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])) if wanted else (0, -1)
        found: list[RunInfo] = []
        while first + len(found) <= last:
            limit = min(last + 1 - first - len(found), LARGEST_PAGE)
            page = self._page(limit, first + len(found)).runs
            found += page
            if len(page) < limit:
                break
        return [Run(self._reader, found[at - first]) for at in wanted if at - first < len(found)]

    def _page(self, limit: int, offset: int) -> RunPage:
        return self._reader.runs(
            *self._project_path,
            limit=limit,
            offset=offset,
            order=self.order,
            filters=self._filters,
            query=self._query,
        )

    def __repr__(self) -> str:
        return f"<Runs {'/'.join(self._project_path)}>"


def _plain_filters(filters: dict[str, Any] | None) -> Any:
    """Return a filter as plain JSON values: NumPy scalars, dates and tuples are converted.

    Raises:
        UsageError: A value has no JSON form.
    """
    try:
        plain = to_plain(filters or {})
        dumps(plain).encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"filters: {error}") from None
    return plain


PublicRun = Run  # the former name of this class
