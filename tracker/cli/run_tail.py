"""The command ``tracker tail``: the last rows or lines of output of runs, and those that follow."""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from tracker.cli.following import Poller, find_metrics
from tracker.cli.output import as_value, for_terminal, one_line
from tracker.cli.run_selection import add_selection, open_selection
from tracker.errors import UsageError
from tracker.ground.values import dumps
from tracker.runstate.merge import describe_missing_rank

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.ground.read_models import RunDetail

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


RANK_HELP = "rank of a distributed run, or all (default: the first rank)"


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    tail = commands.add_parser("tail", help="print the last rows of runs, or their last lines of output")
    tail.add_argument(
        "-f", "--follow", action="store_true", help="also print what follows, until the runs end"
    )
    tail.add_argument("-n", "--number", type=_count, default=10, help="number of rows or lines (default: 10)")
    tail.add_argument(
        "-m", "--metrics", metavar="GLOB", action="append", help="only metrics that match, such as 'val/*'"
    )
    tail.add_argument("-c", "--console", action="store_true", help="print the output instead of the rows")
    tail.add_argument("--rank", help=RANK_HELP)
    tail.add_argument("--json", action="store_true", help="print each row or line as JSON")
    add_selection(tail)
    tail.set_defaults(run=_tail)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"Invalid number {text!r}. Use 0 or more.")
    return int(text)


class _Source(ABC):
    """The rows or the output of a run, or of one rank of the run, over all its attempts.

    Args:
        run: The run.
        rank: The rank; None for the default view of the run.
    """

    kind: ClassVar[str]

    def __init__(self, run: Run, rank: int | None) -> None:
        self.run = run
        self.rank = rank
        self._next = 0  # the first step or line that was not returned yet

    @abstractmethod
    def last(self, count: int) -> list[dict[str, Any]]:
        """Return this number of items from the end."""

    @abstractmethod
    def more(self) -> list[dict[str, Any]]:
        """Return the items after those that were returned before."""

    @staticmethod
    @abstractmethod
    def text(item: dict[str, Any]) -> str:
        """Return an item as a line."""


class _Rows(_Source):
    kind = "row"

    def __init__(self, run: Run, rank: int | None, globs: list[str] | None) -> None:
        super().__init__(run, rank)
        self._globs = globs
        self._branch = self._newest(run._detail())

    def last(self, count: int) -> list[dict[str, Any]]:
        end = self._end()
        window = count
        # Steps can have gaps: read a larger range until it has enough rows.
        while True:
            first = end - window if window < end else None
            found = deque(self._read(first), maxlen=count)
            if len(found) == count or first is None:
                break
            window *= 16
        self._next = max([end, *(row["_step"] + 1 for row in found)])
        return list(found)

    def more(self) -> list[dict[str, Any]]:
        branch = self._newest(self.run._detail())
        if branch != self._branch:
            # A resumed run can log steps again. Its first step is only known when it is logged.
            self._branch = branch
            self._next = min(self._next, branch[1])
        if self._end() <= self._next:
            return []
        found = list(self._read(self._next))
        self._next = max([self._next, *(row["_step"] + 1 for row in found)])
        return found

    def _newest(self, detail: RunDetail) -> tuple[int, int]:
        """Return the number of attempts, and the first step of the newest one."""
        segments = [each for each in detail.segments if self.rank in (None, each.rank)]
        attempts = max((each.attempt for each in segments), default=-1) + 1
        newest = [each.start_step for each in segments if each.attempt + 1 == attempts]
        return attempts, min(newest, default=0)

    def _end(self) -> int:
        if self.rank is None:
            return self.run.lastHistoryStep + 1
        own = [each.last_step for each in self.run.segments if each.rank == self.rank]
        return max((last + 1 for last in own if last is not None), default=0)

    def _read(self, first: int | None) -> Iterator[dict[str, Any]]:
        from tracker.api.history import stream_rows

        keys = None
        if self._globs is not None:
            keys = find_metrics(self.run, self._globs)
            if not keys:
                return
        yield from stream_rows(self.run._reader, self.run._run_path, keys, first, self.rank)

    @staticmethod
    def text(item: dict[str, Any]) -> str:
        logged = (
            f"{one_line(key)}={as_value(value)}" for key, value in item.items() if not key.startswith("_")
        )
        return "  ".join([f"step {item['_step']}", *logged])


class _Output(_Source):
    kind = "line"

    def last(self, count: int) -> list[dict[str, Any]]:
        page = self.run._reader.console(*self.run._run_path, rank=self.rank, tail=count)
        self._next = page.total
        return [asdict(line) for line in page.lines]

    def more(self) -> list[dict[str, Any]]:
        page = self.run._reader.console(*self.run._run_path, rank=self.rank, offset=self._next)
        self._next += len(page.lines)
        return [asdict(line) for line in page.lines]

    @staticmethod
    def text(item: dict[str, Any]) -> str:
        return for_terminal(item["text"])


def _tail(options: argparse.Namespace) -> None:
    from tracker.api.run import ENDED

    runs = list(open_selection(options).select(options))
    if options.console and options.metrics:
        raise UsageError("Use either --metrics or --console.")
    sources: dict[tuple[str, int | None], _Source] = {}
    _print(_add_sources(sources, runs, options), options.number, options, several=len(sources) > 1)
    poller, running = Poller(), runs
    while options.follow and running:
        before = [run._info for run in runs]
        running = [run for run in running if run.state not in ENDED]
        # The read after the end of a run returns its last rows.
        for run in running:
            run.load()
        added = _add_sources(sources, runs, options)
        known = [source for source in sources.values() if source not in added]
        found = _print(known, None, options, several=len(sources) > 1)
        found += _print(added, sys.maxsize, options, several=len(sources) > 1)
        for run in running:
            if run.state in ENDED:
                reason = f": {run._info.reason}" if run._info.reason else ""
                print(f"{'/'.join(run.path)} {run.state}{reason}", file=sys.stderr)
        if running:
            poller.pause(changed=bool(found) or [run._info for run in runs] != before)


def _add_sources(
    sources: dict[tuple[str, int | None], _Source], runs: list[Run], options: argparse.Namespace
) -> list[_Source]:
    """Add the sources that a command line names; return the added ones. A running run can get more ranks."""
    added = []
    for run in runs:
        for rank in find_ranks(run, options.rank):
            name = (run.storage_id, rank)
            if name not in sources:
                sources[name] = _Output(run, rank) if options.console else _Rows(run, rank, options.metrics)
                added.append(sources[name])
    return added


def find_ranks(run: Run, rank: str | None) -> list[int] | list[None]:
    """Return the wanted ranks; a list with None for the default view.

    Args:
        run: The run.
        rank: A number, ``"all"``, or None for the default view.

    Raises:
        UsageError: The run does not have the rank.
    """
    if rank is None:
        return [None]
    if rank == "all":
        return run.ranks
    found = [each for each in run.ranks if str(each) == rank]
    if not found:
        raise UsageError(f"Run {'/'.join(run.path)} has {describe_missing_rank(rank, run.ranks)}")
    return found


def _print(
    sources: Iterable[_Source], count: int | None, options: argparse.Namespace, *, several: bool
) -> int:
    """Print the last items of sources, or for a count of None those that are new; return their number."""
    printed = 0
    for source in sources:
        for item in source.more() if count is None else source.last(count):
            printed += 1
            if options.json:
                rank = {} if source.rank is None else {"rank": source.rank}
                print(dumps({"run": "/".join(source.run.path), **rank, source.kind: item}))
            else:
                label = one_line(source.run.name) if several else ""
                label += f" rank {source.rank}" if several and source.rank is not None else ""
                print(f"{label} | {source.text(item)}" if several else source.text(item))
    sys.stdout.flush()
    return printed
