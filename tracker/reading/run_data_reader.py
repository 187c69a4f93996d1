"""The protocols of readers for the data of a run: rows, system metrics, output, tables and files.

``tracker.reading.reader`` lists the errors that every method can raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tracker.reading.any_reader import AnyReader
from tracker.runstate.merge import Rank

if TYPE_CHECKING:
    import pyarrow as pa

    from tracker.ground.curves import Curve, Distribution, RunLine
    from tracker.ground.export_formats import Format
    from tracker.ground.field_infos import MetricList
    from tracker.ground.file_pages import FilePage
    from tracker.ground.read_models import FileInfo, Output, SystemMetrics, TablePage
    from tracker.ground.table_answers import Shown, TableComparison, TableGroups


class HistoryReader(AnyReader, Protocol):
    """Reads the data that a run logged: rows, system metrics and output."""

    def history(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        complete: bool,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of a run's history, in the order of their steps.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            keys: Return only these keys, and only rows that have at least one of them. None returns all keys.
            complete: Return only rows that have all ``keys``.
            segment: The id of a segment, to return all its rows; None for the newest branch of the run.
            rank: Return the newest branch of this rank; for ``"all"``, of all ranks, with ``_rank`` in rows.
        """

    def table(
        self,
        entity: str,
        project: str,
        run_id: str,
        keys: Sequence[str] | None,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> pa.Table:
        """Return a run's history as an Arrow table. See ``tracker.store.history.arrow_tables.source_table``.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            keys: Return only these keys, and only rows that have at least one of them. None returns all keys.
            segment: The id of a segment, to return all its rows; None for the newest branch of the run.
            rank: Return the newest branch of this rank; for ``"all"``, of all ranks, with ``_rank`` in rows.
        """

    def export_history(
        self,
        entity: str,
        project: str,
        run_id: str,
        format: Format,
        *,
        keys: Sequence[str] | None = None,
        complete: bool = False,
        segment: str | None = None,
        rank: Rank | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        exact: bool = True,
    ) -> Iterator[bytes]:
        """Return a run's history as a file, in pieces, in bounded memory. docs/rest-api.md has the formats.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            format: The format.
            keys: Return only these keys, and only rows that have at least one of them. None returns all keys.
            complete: Return only rows that have all ``keys``.
            segment: The id of a segment, to return all its rows; None for the newest branch of the run.
            rank: Return the newest branch of this rank; for ``"all"``, of all ranks, with ``_rank`` in rows.
            min_step: The first step; None for no limit.
            max_step: The last step; None for no limit.
            exact: For ``arrow`` and ``parquet``: whether a column with values that do not fit its type has a
                second column with these values.
        """

    def system(
        self, entity: str, project: str, run_id: str, segment: str | None = None, points: int | None = None
    ) -> list[SystemMetrics]:
        """Return the system metrics of a run's segments, the oldest attempt of the primary writer first.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            segment: Return only the metrics of this segment.
            points: The maximum number of samples of each segment. The returned samples are evenly spaced and
                include the last sample. None returns all samples.
        """

    def export_system(
        self,
        entity: str,
        project: str,
        run_id: str,
        format: Format,
        segment: str | None = None,
        rank: Rank | None = None,
    ) -> Iterator[bytes]:
        """Return the system metrics of a writer as the content of a file. See ``export_history``.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            format: The format. ``_step`` is the number of the sample.
            segment: The id of the segment; None for the newest attempt of the primary writer.
            rank: Export the newest attempt of this rank, or of each rank, with ``_rank``.
        """

    def console(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        segment: str | None = None,
        rank: int | None = None,
        offset: int = 0,
        limit: int | None = None,
        tail: int | None = None,
        search: str = "",
        regex: bool = False,
        stream: str | None = None,
    ) -> Output:
        """Return lines of a run's output.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            segment: Return only lines of this segment; None for all attempts of the primary writer.
            rank: Return the lines of this rank instead.
            offset: The number of the first line. A negative number counts from the end.
            limit: The maximum number of lines; None for all lines.
            tail: The number of lines from the end, of those that the other arguments select.
            search: Return only lines that contain this text. The search ignores case.
            regex: Whether ``search`` is an RE2 pattern instead.
            stream: Return only lines of ``stdout`` or ``stderr``.

        Raises:
            UsageError: The pattern is not valid, or ``tail`` is used with ``offset``.
        """

    def output_text(
        self,
        entity: str,
        project: str,
        run_id: str,
        *,
        segment: str | None = None,
        rank: int | None = None,
        search: str = "",
        regex: bool = False,
        stream: str | None = None,
        timestamps: bool = False,
    ) -> Iterator[bytes]:
        """Return a run's output as text in UTF-8, in pieces, in bounded memory.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            segment: See ``console``.
            rank: See ``console``.
            search: See ``console``.
            regex: See ``console``.
            stream: See ``console``.
            timestamps: Whether each line begins with its time (ISO 8601, UTC) and a space.
        """


class TableReader(AnyReader, Protocol):
    """Reads the tables that a run logged. With a server, media cells also have the address ``url``.

    All methods can raise ``UsageError``: a filter is not valid, there is no such column, or the table is too
    large.
    """

    def table_page(
        self,
        entity: str,
        project: str,
        run_id: str,
        key: str,
        step: int | None = None,
        *,
        filters: dict[str, Any] | None = None,
        order: Sequence[str] = (),
        offset: int = 0,
        limit: int = 50,
    ) -> TablePage:
        """Return a page of a table.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            key: The history key of the table.
            step: The step at which the table was logged; None for the last one.
            filters: Return only rows that match this filter: ``{COLUMN: {"$lt": 0.2}}``. See
            docs/rest-api.md. order: Columns to sort by, the most important first. A ``-`` in front reverses
            the order. offset: The number of rows to skip.
            limit: The maximum number of rows, up to 1000.
        """

    def table_groups(
        self,
        entity: str,
        project: str,
        run_id: str,
        key: str,
        step: int | None = None,
        *,
        by: Sequence[str],
        columns: Sequence[str] | None = None,
        filters: dict[str, Any] | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> TableGroups:
        """Return the groups of a table's rows, the largest group first.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            key: The history key of the table.
            step: The step of the table.
            by: The columns whose values make a group, at most 3.
            columns: The columns with statistics; None for the first 50 with numbers.
            filters: Group only rows that match this filter.
            offset: The number of groups to skip.
            limit: The maximum number of groups, up to 1000.
        """

    def compare_tables(
        self,
        entity: str,
        project: str,
        left: tuple[str, str, int | None],
        right: tuple[str, str, int | None],
        *,
        on: Sequence[str] = (),
        show: Shown = "differences",
        offset: int = 0,
        limit: int = 50,
    ) -> TableComparison:
        """Compare two tables of a project. See ``tracker.store.queries.tables.compare_tables``.

        Args:
            entity: The entity of the project.
            project: The project.
            left: The id of the run, the history key and the step (None: the last one) of the left table.
            right: The same of the right table.
            on: The columns whose values join the rows.
            show: The rows to return.
            offset: The number of rows to skip.
            limit: The maximum number of rows, up to 1000.
        """


class ChartReader(AnyReader, Protocol):
    """Reads the numbers of many runs for charts."""

    def metrics(
        self,
        entity: str,
        project: str,
        runs: Sequence[str] | None = None,
        *,
        search: str = "",
        filters: dict[str, Any] | None = None,
        query: str = "",
        order: str = "-created_at",
        limit: int | None = None,
    ) -> MetricList:
        """Return the history keys that at least one of the chosen runs has, with their axes and goals.

        Args:
            entity: The entity of the project.
            project: The project.
            runs: Ids of runs. None: the runs that match ``search``, ``filters`` and ``query``.
            search: See ``RunReader.runs``.
            filters: See ``RunReader.runs``.
            query: See ``RunReader.runs``.
            order: See ``RunReader.runs``.
            limit: Only this number of the first runs that match, up to 1,000; None for all.

        Raises:
            UsageError: The selection is invalid, both runs and a selection are given, or the runs are too
                many.
        """

    def run_lines(
        self,
        entity: str,
        project: str,
        runs: Sequence[str],
        keys: Sequence[str],
        *,
        x: str | None = None,
        points: int = 1000,
        low: float | None = None,
        high: float | None = None,
        steps: bool = False,
        rank: Rank | None = None,
    ) -> list[RunLine]:
        """Return the lines of all ``keys`` of all ``runs``: by run, then by key, in the given order.

        Args:
            entity: The entity of the project.
            project: The project.
            runs: Ids of runs.
            keys: History keys, or ``_step``, ``_runtime``, ``_timestamp``.
            x: The x axis for all keys. None: for each key, the axis that ``define_metric`` names, or
                ``_step``.
            points: The maximum number of points of a line.
            low: The smallest x; None for no limit.
            high: The largest x; None for no limit.
            steps: Whether buckets have ``min_step`` and ``max_step``.
            rank: Return the lines of this rank; for ``"all"``, of each rank. A run without the rank has empty
                lines. None: the lines of the primary writer.

        Raises:
            UsageError: The request is too large.
        """

    def grouped_curves(
        self,
        entity: str,
        project: str,
        groups: Mapping[str, Sequence[str]],
        keys: Sequence[str],
        *,
        x: str | None = None,
        points: int = 1000,
        low: float | None = None,
        high: float | None = None,
        rank: Rank | None = None,
        by_rank: bool = False,
    ) -> list[Curve]:
        """Return the curve of each key over each group of runs. The curves are exact: see ``Curve``.

        Args:
            entity: The entity of the project.
            project: The project.
            groups: The ids of the runs of each group, by label.
            keys: History keys.
            x: The x axis. None: the axis that all runs define for the key, or ``_step``. See
                ``tracker.store.queries.grouped_curves``.
            points: The maximum number of points of a curve.
            low: The smallest x; None for no limit.
            high: The largest x; None for no limit.
            rank: Use the values of this rank; for ``"all"``, each rank of a run counts as a run. None: the
                primary writer.
            by_rank: Whether to return a curve for each rank of a group.

        Raises:
            UsageError: The request is too large.
        """

    def distribution(
        self,
        entity: str,
        project: str,
        runs: Sequence[str],
        key: str,
        *,
        source: str = "history",
        bins: int = 30,
        edges: Sequence[float] | None = None,
        probabilities: Sequence[float] | None = None,
    ) -> Distribution:
        """Return a histogram and quantiles of the values of a key over runs.

        Args:
            entity: The entity of the project.
            project: The project.
            runs: Ids of runs.
            key: A history key, or a key of the summary.
            source: ``"history"`` for all logged values, ``"summary"`` for one value per run.
            bins: The number of bins of equal width.
            edges: The edges of the bins in ascending order, in place of ``bins``.
            probabilities: The probabilities of the quantiles, 0 to 1; None for a usual choice.

        Raises:
            UsageError: An argument is invalid, or the request is too large.
        """


class FileReader(AnyReader, Protocol):
    """Reads the files of a run."""

    def files(self, entity: str, project: str, run_id: str) -> list[FileInfo]:
        """Return the saved files of a run, sorted by path.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
        """

    def file_page(
        self, entity: str, project: str, run_id: str, *, prefix: str, offset: int, limit: int | None
    ) -> FilePage:
        """Return a page of a run's files by path, with the number and the size of all chosen files.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            prefix: Return only files whose path begins with this text.
            offset: The number of files to skip.
            limit: The maximum number of files; None for all.
        """

    def file_chunks(self, entity: str, project: str, run_id: str, file: FileInfo) -> Iterator[bytes]:
        """Return the content of a file in chunks.

        Args:
            entity: The entity of the project.
            project: The project.
            run_id: The id of the run.
            file: One of the run's ``files``.
        """
