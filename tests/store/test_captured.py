"""System metrics and output: hot, cold, after a rebuild, of each writer, read by other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from builders import ENTITY, HOST, PROJECT, START, Writer, apply_all, seal_all
from rebuilding import again

from tracker.ground.read_models import Output, SystemMetrics
from tracker.ground.records import ConsoleLines, SystemSample
from tracker.store.catalog.models import CapturedPart, ConsoleLine, Sample
from tracker.store.history import captured as store_captured
from tracker.store.queries import captured, runs
from tracker.store.store import Store

A, B, C = (name * 16 for name in ("a1", "b2", "c3"))


def system(store: Store, run: str = "run1", **asked: Any) -> list[SystemMetrics]:
    with store.reading() as session:
        return captured.system(session, runs.get_run(session, ENTITY, PROJECT, run), store.root, **asked)


def console(store: Store, run: str = "run1", **asked: Any) -> Output:
    with store.reading() as session:
        return captured.console(session, runs.get_run(session, ENTITY, PROJECT, run), store.root, **asked)


def texts(found: Output) -> list[tuple[int, str, str]]:
    return [(line.line, line.stream, line.text) for line in found.lines]


def counts(store: Store) -> tuple[int, int, int]:
    with store.reading() as session:
        return tuple(session.query(model).count() for model in (Sample, ConsoleLine, CapturedPart))  # type: ignore[return-value]


def sample(writer: Writer, **values: float) -> None:
    writer.put(SystemSample(writer.tick(), values))


def say(writer: Writer, *lines: tuple[int, int, str]) -> None:
    writer.put(ConsoleLines(writer.tick(), list(lines)))


def write(store: Store, segment: str = A, **started: Any) -> Writer:
    writer = Writer(store.layout, segment, **started)
    sample(writer, cpu=5.0, **{"gpu.0.temp": 40.0})
    say(writer, (0, 1, "hello"), (1, 2, " 10%"))
    writer.log({"loss": 1.0})
    say(writer, (1, 2, "100%"), (2, 1, "ünïcode ✓"))
    sample(writer, cpu=7.0)
    return writer


LINES = [(0, "stdout", "hello"), (1, "stderr", "100%"), (2, "stdout", "ünïcode ✓")]


def test_captured_rows_are_the_same_live_sealed_and_rebuilt(store: Store) -> None:
    writer = write(store)
    apply_all(store)

    def check(opened: Store) -> None:
        (found,) = system(opened)
        assert (found.segment, found.rank, found.attempt, found.host) == (A, 0, 0, HOST)
        assert found.rows == [
            {"_runtime": 1.0, "_timestamp": START + 1, "cpu": 5.0, "gpu.0.temp": 40.0},
            {"_runtime": 5.0, "_timestamp": START + 5, "cpu": 7.0},
        ]
        output = console(opened)
        assert texts(output) == LINES
        assert output.total == 3
        # A line that was changed keeps the time of its first version.
        assert [line.time for line in output.lines] == [START + 2, START + 2, START + 4]
        with opened.reading() as session:
            detail = runs.run_detail(session, ENTITY, PROJECT, "run1")
        assert detail.system_metrics == {"system.cpu": 7.0, "system.gpu.0.temp": 40.0}
        assert [(each.samples, each.console_lines) for each in detail.segments] == [(2, 3)]
        assert detail.last_step == 0

    check(store)
    assert counts(store) == (2, 3, 0)
    store, _ = again(store)
    apply_all(store)
    check(store)
    writer.finish()
    apply_all(store)
    seal_all(store)
    check(store)
    assert counts(store) == (0, 0, 2)
    store, found = again(store)
    assert not found.broken
    check(store)
    store.close()


def test_other_programs_read_captured_rows(store: Store) -> None:
    write(store).finish()
    apply_all(store)
    seal_all(store)
    folder = store.layout.run(ENTITY, PROJECT, "run1")
    (metrics,) = (folder / "system").glob("*.parquet")
    assert pd.read_parquet(metrics)["cpu"].tolist() == [5.0, 7.0]
    query = f"SELECT text FROM read_parquet('{folder}/console/*.parquet') WHERE stream = 'stderr'"
    assert duckdb.sql(query).fetchall() == [("100%",)]


@pytest.mark.slow
def test_long_output_leaves_the_catalog_while_the_run_continues(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store_captured.HOT, "console", 200)
    monkeypatch.setitem(store_captured.HOT, "system", 10)
    writer = Writer(store.layout, A)
    for at in range(1000):
        say(writer, (at, 1 + at % 2, f"line {at}"))
        if at % 20 == 0:
            sample(writer, cpu=float(at))
            apply_all(store)
    say(writer, (980, 1, "drawn again"))
    apply_all(store)
    samples, lines, files = counts(store)
    assert samples <= 20
    assert store_captured.WINDOW <= lines <= 300
    assert files > 3
    output = console(store)
    assert [line.line for line in output.lines] == list(range(1000))
    assert output.lines[980].text == "drawn again"
    assert [row["cpu"] for row in system(store)[0].rows] == [float(at) for at in range(0, 1000, 20)]
    # A query for some lines reads only these.
    assert texts(console(store, offset=500, limit=2)) == [
        (500, "stdout", "line 500"),
        (501, "stderr", "line 501"),
    ]
    assert [line.line for line in console(store, offset=-3, limit=2).lines] == [997, 998]
    found = console(store, search="LINE 99", limit=2)
    assert ([line.line for line in found.lines], found.found) == ([99, 990], 11)
    assert len(system(store, points=7)[0].rows) == 7
    assert system(store, points=7)[0].rows[-1]["cpu"] == 980.0
    writer.finish()
    apply_all(store)
    seal_all(store)
    assert console(store) == output


def test_ranks_and_attempts_are_kept_apart(store: Store) -> None:
    write(store, A).finish()
    write(store, B, rank=1).finish()
    write(store, C, attempt=1, start=START + 100, start_step=1, runtime_base=50.0).finish()
    apply_all(store)
    seal_all(store)
    assert [(each.rank, each.attempt) for each in system(store)] == [(0, 0), (0, 1), (1, 0)]
    assert system(store)[1].rows[0]["_runtime"] == 51.0
    # By default the output is that of the primary writer's attempts. The other rank needs ``segment``.
    assert [line.text for line in console(store).lines] == [text for _, _, text in LINES] * 2
    assert [line.line for line in console(store).lines] == list(range(6))
    assert texts(console(store, segment=B)) == LINES


def test_unnamed_files_are_removed_only_when_the_catalog_has_their_rows(
    store: Store,
) -> None:
    writer = write(store)
    apply_all(store)
    writer.finish()
    apply_all(store)
    seal_all(store)
    folder = store.layout.run(ENTITY, PROJECT, "run1") / "console"
    (named,) = folder.glob("*.parquet")
    left = named.with_name(f"{A}-000000000000-000000000002-deadbeef.parquet")
    left.write_bytes(named.read_bytes())
    with store.writing() as session:  # as after a crash before the commit, if the journal has lost its lines
        segment = session.query(store_captured.Segment).one()
        segment.sealed = False
        session.query(CapturedPart).filter(CapturedPart.kind == "console").delete()
    named.unlink()
    seal_all(store)
    assert texts(console(store)) == LINES
    assert len(list(folder.iterdir())) == 1
    assert Path(left).exists() is False
