"""``ConsoleLogs``: the lines that a run wrote to stdout and stderr."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from tracker.api.captured import output_lines
from tracker.artifacts.paginators import PaginatedList
from tracker.ground.names import RunPath
from tracker.ground.read_models import OutputLine
from tracker.reading.run_data_reader import HistoryReader


@dataclass(frozen=True)
class ConsoleLogLine:
    """A line of a run's output.

    Attributes:
        number: The position of the line, from 0.
        timestamp: The time of the capture (UTC).
        level: ``"error"`` for stderr, otherwise empty.
        label: Always empty here. In wandb, the process that wrote the line.
        content: The text.
    """

    number: int
    timestamp: datetime | None
    level: str
    label: str
    content: str


class ConsoleLogs(PaginatedList[ConsoleLogLine]):
    """The lines of a run's output, oldest first."""


def console_logs(
    reader: HistoryReader,
    run_path: RunPath,
    per_page: int = 1000,
    last: int | None = None,
    rank: int | None = None,
) -> ConsoleLogs:
    """Return the output of a run.

    Args:
        reader: The reader of the run.
        run_path: Entity, project and id of the run.
        per_page: Accepted for compatibility.
        last: Return only this number of lines from the end.
        rank: The rank; by default that of the primary writer.
    """
    lines = output_lines(reader, run_path, last=last, rank=rank)
    return ConsoleLogs(map(_line, lines), per_page)


def _line(line: OutputLine) -> ConsoleLogLine:
    at = datetime.fromtimestamp(line.time, timezone.utc)
    return ConsoleLogLine(line.line, at, "error" if line.stream == "stderr" else "", "", line.text)
