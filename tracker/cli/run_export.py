"""The command ``tracker export``: write histories of runs, whole runs, or a table of runs, to files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.cli.following import find_metrics
from tracker.cli.output import as_json, one_line
from tracker.cli.run_selection import NoRunError, add_selection, open_selection
from tracker.cli.run_tail import RANK_HELP, find_ranks
from tracker.errors import UsageError
from tracker.ground.export_formats import FORMATS, Format
from tracker.ground.parsed_types import RelativePath
from tracker.ground.values import dumps, flatten

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.ground.read_models import RunInfo

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_BINARY = ("arrow", "parquet")
# The formats of other programs: each run becomes a folder.
_FOLDERS = ("tensorboard", "wandb")
# The format with runs and charts on one page.
_PAGE = "html"
# The number of runs in memory while a table of runs is written.
_RUNS_AT_ONCE = 1000


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    export = commands.add_parser("export", help="write the rows of runs, or a table of runs, to files")
    export.add_argument(
        "--format",
        choices=(*FORMATS, *_FOLDERS, _PAGE),
        help="format (default: that of the ending of FILE, else csv)",
    )
    export.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE|DIR",
        help="file for one run or for --runs (default: standard output); folder for the rows of several runs",
    )
    export.add_argument("--runs", dest="table", action="store_true", help="write one row for each run")
    export.add_argument(
        "-m", "--metrics", metavar="GLOB", action="append", help="only metrics that match, such as 'val/*'"
    )
    export.add_argument("--rank", help=RANK_HELP)
    export.add_argument("--json", action="store_true", help="print the names of the written files as JSON")
    add_selection(export)
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    if options.json and options.output is None:
        raise UsageError("--json needs --output: the standard output has the exported data.")
    selection = open_selection(options)
    if options.format in _FOLDERS:
        _check_folder(options)
        files = _write_folders(options, selection.select(options))
    elif options.format == _PAGE or (options.format is None and _is_page(options.output)):
        files = _write_page(options, list(selection.select(options)))
    elif options.table:
        if options.metrics or options.rank:
            raise UsageError("--runs exports no rows: leave out --metrics and --rank.")
        files = _write_table(
            options, _format(options), lambda: (run._info for run in selection.select(options))
        )
    else:
        files = _write_rows(options, _format(options), selection.select(options))
    if options.json:
        print(as_json({"files": files}))
    elif options.output is not None:
        print(*(file["path"] for file in files), sep="\n")


def _format(options: argparse.Namespace) -> Format:
    from tracker.api.history import format_of

    given: Format | None = options.format
    output: Path | None = options.output
    if given is not None or output is None or not output.suffix or output.is_dir():
        return given or "csv"
    return format_of(output)


def _write_rows(options: argparse.Namespace, format: Format, found: Iterator[Run]) -> list[dict[str, Any]]:
    first = list(islice(found, 2))
    if not first:
        raise NoRunError("No run matches.")
    output: Path | None = options.output
    into_folder = len(first) > 1 or (output is not None and output.is_dir())
    if into_folder and (output is None or output.is_file()):
        raise UsageError("Several runs match. Use --output DIR: each run gets a file in this folder.")
    files = []
    for run in chain(first, found):
        for rank in find_ranks(run, options.rank):
            path = output
            if output is not None and into_folder:
                path = output / f"{_path_of(run)}{_ending(rank)}.{FORMATS[format].ending}"
            elif options.rank == "all":
                raise UsageError("--rank all exports several files. Use --output with an existing folder.")
            pieces = run._reader.export_history(
                *run._run_path,
                format,
                keys=_keys(run, options),
                rank=rank,
            )
            _write(path, pieces, format)
            files.append(_result(run, path))
    return files


def _check_folder(options: argparse.Namespace) -> None:
    output: Path | None = options.output
    if output is None or output.is_file():
        raise UsageError(f"--format {options.format} needs --output DIR: each run becomes a folder.")
    if options.format == "wandb" and options.rank:
        raise UsageError("A folder of wandb has the rows of the first rank: leave out --rank.")
    if options.table:
        raise UsageError(f"--runs has one of the formats {', '.join(_TABLES)}, not {options.format}.")


def _write_folders(options: argparse.Namespace, found: Iterator[Run]) -> list[dict[str, Any]]:
    from tracker.exporting.run_source import RunSource
    from tracker.exporting.tensorboard import export_tensorboard
    from tracker.exporting.wandb_folder import export_wandb

    files = []
    for run in found:
        for rank in find_ranks(run, options.rank):
            source = RunSource(run, _keys(run, options), rank)
            if options.format == "wandb":
                path = export_wandb(source, options.output)
            else:
                path = export_tensorboard(source, options.output / f"{_path_of(run)}{_ending(rank)}")
            for problem in source.problems:
                print(f"{'/'.join(run.path)}: {one_line(problem)}", file=sys.stderr)
            files.append(_result(run, path))
    if not files:
        raise NoRunError("No run matches.")
    return files


def _is_page(output: Path | None) -> bool:
    return output is not None and output.suffix in (".html", ".htm") and not output.is_dir()


def _write_page(options: argparse.Namespace, runs: list[Run]) -> list[dict[str, Any]]:
    from tracker.exporting.html_page import HtmlPage

    if options.table or options.rank:
        raise UsageError("An HTML file has runs and their charts: leave out --runs and --rank.")
    if options.output is not None and options.output.is_dir():
        raise UsageError(f"{options.output} is a folder. Use --output FILE.html.")
    if not runs:
        raise NoRunError("No run matches.")
    page = HtmlPage(runs, options.metrics)
    _write(options.output, page.pieces())
    print(*page.notes, sep="\n", end="\n" if page.notes else "", file=sys.stderr)
    return [{"path": str(options.output)}]


def _keys(run: Run, options: argparse.Namespace) -> list[str] | None:
    """Return the chosen metrics of a run; None for all."""
    if not options.metrics:
        return None
    if keys := find_metrics(run, options.metrics):
        return keys
    raise UsageError(f"No metric of {run.storage_id} matches {', '.join(options.metrics)}.")


def _result(run: Run, path: Path | None) -> dict[str, Any]:
    return {"entity": run.entity, "project": run.project, "id": run.id, "path": str(path)}


def _ending(rank: int | None) -> str:
    return "" if rank is None else f".rank{rank}"


def _path_of(run: Run) -> str:
    """Return the path of a run below a folder. A server is not trusted to send names that are safe in it."""
    path = "/".join(run.path)
    try:
        return msgspec.convert(path, RelativePath)
    except msgspec.ValidationError:
        raise UsageError(
            f"{path!r} cannot be the name of a file. Export this run alone, with --output FILE."
        ) from None


def _write_table(
    options: argparse.Namespace, format: Format, read: Callable[[], Iterator[RunInfo]]
) -> list[dict[str, Any]]:
    if format not in _TABLES:
        raise UsageError(f"A table of runs has one of the formats {', '.join(_TABLES)}, not {format}.")
    _write(options.output, _TABLES[format](read), format)
    return [{"path": str(options.output)}]


def _write(path: Path | None, pieces: Iterable[bytes], format: Format | None = None) -> None:
    from tracker.api.history import save

    if path is not None:
        save(path, pieces)
        return
    if format in _BINARY and sys.stdout.isatty():
        raise UsageError(f"{format} is not text. Use --output FILE.")
    sys.stdout.buffer.writelines(pieces)


def _as_lines(read: Callable[[], Iterator[RunInfo]]) -> Iterator[bytes]:
    return (f"{dumps(asdict(run))}\n".encode("utf-8", "replace") for run in read())


def _as_csv(read: Callable[[], Iterator[RunInfo]]) -> Iterator[bytes]:
    from tracker.store.history.export import csv_cell, csv_text

    columns = _find_columns(read())
    yield _csv_line(map(csv_text, columns))
    for row in map(_row_of, read()):
        yield _csv_line("" if row.get(name) is None else csv_cell(row[name]) for name in columns)


def _csv_line(cells: Iterable[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode("utf-8", "replace")


def _as_parquet(read: Callable[[], Iterator[RunInfo]]) -> Iterator[bytes]:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
    columns = _find_columns(read())
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in columns.items()])
    sink = io.BytesIO()  # a table of runs has few rows of many bytes: its compressed form is small
    rows = map(_row_of, read())
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _RUNS_AT_ONCE)):
            cells = [
                {
                    name: value if value is None or kind in types else dumps(value)
                    for name, kind in columns.items()
                    for value in [row.get(name)]
                }
                for row in batch
            ]
            writer.write_table(pa.Table.from_pylist(cells, schema))
    yield sink.getvalue()


_TABLES: dict[str, Callable[[Callable[[], Iterator[RunInfo]]], Iterator[bytes]]] = {
    "csv": _as_csv,
    "jsonl": _as_lines,
    "parquet": _as_parquet,
}


def _row_of(run: RunInfo) -> dict[str, Any]:
    """Return the fields of a run under the names of the REST API, with a field for each key of the config."""
    fields = asdict(run)
    keyed = {"config": fields.pop("config"), "summary": fields.pop("summary")}
    return {**fields, **{key: value for key, value in flatten(keyed) if not key.startswith("config._wandb")}}


def _find_columns(runs: Iterable[RunInfo]) -> dict[str, str]:
    """Return the columns of a table of runs, with the kinds of their values; ``other``: several kinds."""
    columns: dict[str, str] = {}
    for row in map(_row_of, runs):
        for name, value in row.items():
            kind = "int" if type(value) is int and abs(value) < 2**63 else type(value).__name__
            known = columns.setdefault(name, "NoneType")
            if known != kind and value is not None:
                numbers = {known, kind} == {"int", "float"}
                columns[name] = kind if known == "NoneType" else "float" if numbers else "other"
    fixed = [name for name in columns if "." not in name]
    return {name: columns[name] for name in [*fixed, *sorted(set(columns) - set(fixed))]}
