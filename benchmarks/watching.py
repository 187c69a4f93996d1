"""Watching the journals of other hosts: figure ``watch``.

A server watches many journals whose writers live and log nothing: each journal is touched every 15 s, as by a
writer. The measurement begins when the pauses have the lengths for idle journals. Then one writer logs
rows, and the time until the server answers with each row is measured. Then the same journals are set aside,
as those of killed writers are two minutes after their last sign of life.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from benchmarks.measuring import Options, ScriptError, wait_for, workplace
from benchmarks.report import Result, Row, spread
from benchmarks.serving import RUNS, Server, serving
from tracker.ground.records import COMMIT, Process, RunStarted, encode, pack
from tracker.ground.records import Row as Logged
from tracker.journal.writer import JournalWriter
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import SegmentFold, SegmentState, pack_state
from tracker.store.catalog.models import Segment
from tracker.store.objects.atomic_files import make_folder
from tracker.store.objects.layout import Layout

HOSTS = 16
TOUCH_SECONDS = 15.0
ROWS = 40
# Seconds after which the pauses between rounds, and between looks at an idle journal, do not grow any more.
ROUNDS_SETTLED, LOOKS_SETTLED = 25, 110
LARGEST_SHARE = 1.0  # percent of a core
LARGEST_DELAY = 0.3  # seconds
_UNKNOWN = -1


def measure(options: Options) -> Result:
    """Measure the CPU time of a server that watches idle journals, and the delay of rows."""
    count, seconds = options.idle_journals, options.idle_seconds
    with workplace(options) as folder:
        root = folder / "tracker-store"
        open_store(root).close()
        layout = Layout(root)
        with serving(root) as server:
            nothing = _share(server, seconds, ROUNDS_SETTLED)
        _fill(root, count)
        with _touched(layout), serving(root) as server:
            writer = _journal(layout, count)[0]
            wait_for(lambda: _last_step(server, count) != _UNKNOWN, "the journals to be read", 3600)
            idle = _share(server, seconds, LOOKS_SETTLED)
            delays = _delays(writer, server, count)
        for journal in layout.list_journals():
            found = journal.path.stat()
            place = layout.silent_place(journal, found.st_size, int(found.st_mtime))
            make_folder(place.parent)
            journal.path.rename(place)
        with serving(root) as server:
            aside = _share(server, seconds, ROUNDS_SETTLED)
    delay, unit, target = statistics.median(delays), "% of a core", f"< {LARGEST_SHARE:.0f}%"
    without = "no journals"
    rows = [
        Row(f"watching {count:,} idle journals", unit, idle, without, nothing, target, idle < LARGEST_SHARE),
        Row("the same, killed and sealed", unit, aside, without, nothing, target, aside < LARGEST_SHARE),
        Row("delay from write on a node to visible", "s", delay, "", None, f"<= {LARGEST_DELAY} s",
            delay <= LARGEST_DELAY),
    ]  # fmt: skip
    return Result(rows, {"delay": spread(delays), "cpu_seconds": idle * seconds / 100})


def _fill(root: Path, count: int) -> None:
    """Write journals of idle writers, and mark them as applied."""
    store = open_store(root)
    with store.writing() as session:
        for number in range(count):
            writer, started = _journal(store.layout, number)
            fold = SegmentFold(SegmentState())
            fold.fold(started)
            session.add(
                Segment(
                    segment=writer.segment,
                    started_at=started.time,
                    process=encode(started.process),
                    offset=writer.offset,
                    sequence=writer.sequence,
                    state=pack_state(fold.state),
                )
            )
            writer.close()
    store.close()


def _journal(layout: Layout, number: int) -> tuple[JournalWriter, RunStarted]:
    host = f"node{number % HOSTS}"
    make_folder(layout.host_journals(host), durable=False)
    segment = f"{number:032x}"
    writer = JournalWriter(layout.journal(host, segment, 0), segment)
    process = Process(host, "boot", 1, 42, 7)
    started = RunStarted("local", "benchmark", f"run{number}", time.time(), process)
    writer.append(pack(started))
    return writer, started


@contextmanager
def _touched(layout: Layout) -> Iterator[None]:
    """Touch all journals in turn, each of them every ``TOUCH_SECONDS``."""
    paths = [journal.path for journal in layout.list_journals()]
    ended = Event()

    def touch() -> None:
        while not ended.is_set():
            begun = time.monotonic()
            for number, path in enumerate(paths):
                os.utime(path)
                ahead = TOUCH_SECONDS * number / len(paths) - (time.monotonic() - begun)
                if ahead > 0.05 and ended.wait(ahead):
                    return
            ended.wait(max(0.0, TOUCH_SECONDS - (time.monotonic() - begun)))

    thread = Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _share(server: Server, seconds: int, settled_after: int) -> float:
    """Return the CPU time of a server as a share of a core, in percent, at least one tick of the clock."""
    time.sleep(settled_after)
    server.again().get("/api/v1/health")
    before = server.cpu_seconds()
    time.sleep(seconds)
    return 100 * max(server.cpu_seconds() - before, 0.01) / seconds


def _delays(writer: JournalWriter, server: Server, number: int) -> list[float]:
    """Log rows on another host; return the time until the server's answer has each row, in seconds."""
    delays = []
    for step in range(ROWS):
        writer.append(pack(Logged(step, step, COMMIT, time.time(), {"x": step})))
        begun = time.perf_counter()
        wait_for(lambda at=step: _last_step(server, number) == at, "a row")  # type: ignore[misc]
        delays.append(time.perf_counter() - begun)
    writer.close()
    return delays


def _last_step(server: Server, number: int) -> int | None:
    """Return the last step of a run; ``_UNKNOWN`` if the server does not have the run."""
    try:
        found = json.loads(server.again().get(f"{RUNS}/run{number}"))
    except ScriptError:
        return _UNKNOWN
    step: int | None = found["last_step"]
    return step
