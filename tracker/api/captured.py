"""System metrics and output of a run, in the form of wandb's ``Api``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracker.ground.names import RunPath
from tracker.ground.read_models import OutputLine
from tracker.reading.run_data_reader import HistoryReader

OUTPUT_FILE = "output.log"
# The number of lines in one request.
_PAGE = 10_000


def system_rows(
    reader: HistoryReader,
    run_path: RunPath,
    keys: list[str] | None = None,
    segment: str | None = None,
    rank: int | str | None = None,
) -> list[dict[str, Any]]:
    """Return a run's samples of system metrics: dicts with ``_runtime``, ``_timestamp``, ``system.cpu`` etc.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        keys: Return only these keys, and only samples that have at least one of them.
        segment: The id of a segment; by default all segments of the primary writer.
        rank: Return the samples of this rank instead; of all ranks with ``"all"``, each with ``_rank``.
    """
    found = reader.system(*run_path, segment)
    wanted_rank = min((each.rank for each in found if not each.child), default=0) if rank is None else rank
    rows = [
        {
            **{name if name.startswith("_") else f"system.{name}": value for name, value in row.items()},
            **({"_rank": each.rank} if rank == "all" else {}),
        }
        for each in found
        if segment is not None or (wanted_rank in ("all", each.rank) and not each.child)
        for row in each.rows
    ]
    if keys is None:
        return rows
    wanted = {*keys, "_runtime", "_timestamp", "_rank"}
    return [
        {name: value for name, value in row.items() if name in wanted}
        for row in rows
        if not row.keys().isdisjoint(keys)
    ]


def output_lines(
    reader: HistoryReader, run_path: RunPath, *, last: int | None = None, rank: int | None = None
) -> Iterator[OutputLine]:
    """Yield the lines of a run's output.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        last: Return only this number of lines from the end.
        rank: The rank; by default that of the primary writer.
    """
    offset = 0 if last is None else -last
    while True:
        page = reader.console(*run_path, rank=rank, offset=offset, limit=_PAGE)
        yield from page.lines
        if not page.lines or page.lines[-1].line + 1 >= page.total:
            return
        offset = page.lines[-1].line + 1


def output_log(reader: HistoryReader, run_path: RunPath) -> bytes:
    """Return the content of ``output.log``: the run's output in UTF-8, with a newline after each line.

    Args:
        reader: Reads the run.
        run_path: Entity, project and id of the run.
    """
    lines = (line.text for line in output_lines(reader, run_path))
    return "".join(f"{text}\n" for text in lines).encode("utf-8", "replace")
