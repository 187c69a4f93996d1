"""The output and the system metrics of a run: the same answers through the local store and through a
server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from builders import START, Writer, apply_all, seal_all
from exact import exact
from exported import FORMATS, as_csv, read_export
from readers import READERS, reading_with
from serving import Server, serving

from tracker.errors import NotFoundError, UsageError
from tracker.ground.records import ConsoleLines, SystemSample
from tracker.reading.reader import HistoryReader
from tracker.recorder.open_store import open_store
from tracker.store.history import captured

RUN = ("team", "demo", "run1")
A, B = "a1" * 16, "b2" * 16
STREAMS = {1: "stdout", 2: "stderr"}
# The stream and the text of each line, of two attempts.
LINES = [(1 + (at % 10 == 3), f"{'Error' if at % 10 == 3 else 'epoch'} {at} ünï") for at in range(150)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server of a run whose output is in files (first attempt) and in the catalog (second
    attempt)."""
    folder = tmp_path_factory.mktemp("console")
    store = open_store(folder / "tracker-store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(captured.HOT, "console", 40)
        first, second = Writer(store.layout, A), Writer(store.layout, B, attempt=1, start_step=1)
        for at, (stream, text) in enumerate(LINES):
            writer = first if at < 100 else second
            writer.put(ConsoleLines(writer.tick(), [(at if at < 100 else at - 100, stream, text)]))
            if at % 10 == 0:
                writer.put(SystemSample(writer.tick(), {"cpu": float(at), "gpu.0.temp": 40.5}))
        first.finish()
        apply_all(store)
        seal_all(store)
    for segment, rank, attempt in (("c3", 0, 0), ("d4", 2, 0), ("e5", 2, 1)):
        ranked = Writer(store.layout, segment * 16, "ranked", rank=rank, attempt=attempt)
        for at in range(2):
            ranked.put(SystemSample(ranked.tick(), {"cpu": float(10 * rank + attempt + at)}))
    apply_all(store)
    assert list((store.layout.run(*RUN) / "console").glob("*.parquet"))
    store.close()
    with serving(folder / "tracker-store") as server:
        yield server


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, served: Server) -> Iterator[HistoryReader]:
    with reading_with(request.param, served) as found:
        yield found


def numbers(reader: HistoryReader, **options: Any) -> list[int]:
    found = reader.console(*RUN, **options)
    assert found.total == len(LINES)
    for line in found.lines:
        stream, text = LINES[line.line]
        assert (STREAMS[stream], text) == (line.stream, line.text)
    return [line.line for line in found.lines]


def test_lines_are_selected_by_place_text_pattern_and_stream(reader: HistoryReader) -> None:
    errors = list(range(3, 150, 10))
    assert numbers(reader) == list(range(150))
    assert numbers(reader, offset=95, limit=10) == list(range(95, 105))
    assert numbers(reader, offset=-5) == list(range(145, 150))
    assert numbers(reader, tail=3) == [147, 148, 149]
    assert numbers(reader, tail=0) == []
    assert numbers(reader, tail=1000) == list(range(150))
    assert numbers(reader, stream="stderr") == errors
    assert numbers(reader, stream="stderr", tail=2) == [133, 143]
    assert numbers(reader, search="ERROR", limit=2) == [3, 13]
    assert numbers(reader, search="ERROR", regex=True) == []
    assert numbers(reader, search=r"(?i)^ERROR \d3\b", regex=True, tail=4) == [63, 73, 83, 93]
    assert numbers(reader, search=r"4\d ünï$", regex=True, stream="stderr") == [43, 143]
    assert reader.console(*RUN, search="Error", limit=1).found == len(errors)
    assert len(reader.console(*RUN, segment=B, search="Error").lines) == 5


def test_wrong_questions_are_refused(reader: HistoryReader) -> None:
    with pytest.raises(UsageError, match=r"search: '\(' is not a valid RE2 pattern: missing \)"):
        reader.console(*RUN, search="(", regex=True)
    with pytest.raises(UsageError, match="tail cannot be combined with offset"):
        reader.console(*RUN, tail=1, offset=3)
    with pytest.raises(NotFoundError, match="has no segment"):
        list(reader.output_text(*RUN, segment="0" * 32))
    # A pattern that takes exponential time in other engines.
    assert reader.console(*RUN, search="(a*)*(a*)*b{1,50}$", regex=True).lines == []


def test_the_output_is_downloaded_as_text(reader: HistoryReader) -> None:
    whole = b"".join(reader.output_text(*RUN)).decode()
    assert whole == "".join(f"{text}\n" for _, text in LINES)
    stamped = b"".join(reader.output_text(*RUN, timestamps=True)).decode().splitlines()
    assert stamped[0] == "2023-11-14T22:13:21.000Z epoch 0 ünï"
    assert START == 1_700_000_000
    assert [line.split(" ", 1)[1] for line in stamped] == [text for _, text in LINES]
    chosen = b"".join(reader.output_text(*RUN, search="^Error 1.3", regex=True, stream="stderr"))
    assert chosen.decode() == "".join(f"Error 1{tens}3 ünï\n" for tens in range(5))


@pytest.mark.parametrize("format", FORMATS)
def test_system_metrics_are_exported(reader: HistoryReader, format: Any) -> None:
    samples = {each.segment: each.rows for each in reader.system(*RUN)}
    for segment in (None, A, B):
        found = read_export(format, b"".join(reader.export_system(*RUN, format, segment)))
        steps = [row.pop("_step") for row in found]
        assert steps == sorted(set(steps))
        meant = samples[segment or B]
        assert list(map(exact, found)) == list(map(exact, map(as_csv, meant)))


def test_system_metrics_of_ranks_are_exported(reader: HistoryReader) -> None:
    run = ("team", "demo", "ranked")

    def rows(**options: Any) -> list[tuple[Any, ...]]:
        found = read_export("jsonl", b"".join(reader.export_system(*run, "jsonl", **options)))
        return [(row["_step"], row["cpu"], row.get("_rank")) for row in found]

    assert rows() == rows(rank=0) == [(1, 0.0, None), (2, 1.0, None)]
    assert rows(rank=2) == rows(segment="e5" * 16) == [(1, 21.0, None), (2, 22.0, None)]
    assert sorted(rows(rank="all")) == [(1, 0.0, 0), (1, 21.0, 2), (2, 1.0, 0), (2, 22.0, 2)]
    with pytest.raises(UsageError, match="rank"):
        rows(rank=1)
    with pytest.raises(UsageError, match="Pass segment or rank"):
        rows(rank=2, segment="e5" * 16)


def test_a_download_is_a_text_file(served: Server) -> None:
    with served.client() as client:
        answer = client.get("/projects/team/demo/runs/run1/console/download", params={"timestamps": True})
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''run1.output.log"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/projects/team/demo/runs/run1/console", params={"stream": "x"}).status_code == 422
