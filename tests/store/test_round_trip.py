"""Logged values are read back with the same value and type, at every stage and through every interface."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from itertools import accumulate, count, pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import scripts
from builders import Writer, all_rows, apply_all, end_segments, read_history, seal_all, segment_id
from exact import FIXED, check_rows, check_table, exact, without_empty
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from serving import Server, serving
from sqlalchemy import select

import tracker
from tracker.api.runs import PublicRun
from tracker.ground import values
from tracker.reading.remote import RemoteReader
from tracker.recorder.election import RecorderLock
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote, outbox_folder
from tracker.runstate.fold import FinishedRow
from tracker.sdk.run.run import Run
from tracker.store.catalog.models import Run as CatalogRun
from tracker.store.catalog.models import Segment
from tracker.store.history.arrow_tables import source_table
from tracker.store.history.columns import (
    EXACT,
    Encoded,
    column_name,
    common_kind,
    convert,
    kinds_of,
    make_table,
    roles_of,
    rows_to_table,
    table_to_rows,
)
from tracker.store.history.columns import FIXED as FIXED_COLUMNS
from tracker.store.history.compaction import compact_all
from tracker.store.history.part_file import PartFile
from tracker.store.history.parts import add_part, write_part
from tracker.store.history.sources import HistorySource
from tracker.store.objects.layout import Layout
from tracker.store.queries import history
from tracker.store.store import Store

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

# The values of each key, one per row. In parts of three rows, the type of a key changes between parts.
KEYS: dict[str, list[Any]] = {
    "floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16, -2.5, 1.0, 0.3, 1 / 3, 2.0**70],
    "not finite": [math.nan, math.inf, -math.inf, 1.0, math.nan, math.nan, 0.5, -0.0, math.inf, 0.0],
    "ints": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 7, -(2**53) - 1, 2**31, 5, 6],
    "huge ints": [2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**400, -(10**400), 1, 2**70, 3, 2**64 - 1],
    "bools": [True, False, True, True, False, False, True, False, True, True],
    "text": ["", "word", "größe ✓", "null", "NaN", '"', "\x00", "1", "\n", "🙂"],
    "None": [None] * 10,
    "None then text": [None] * 5 + ["a", None, "b", "c", None],
    "None then bools": [None] * 4 + [True, False, None, None, True, None],
    "None then dicts": [None] * 7 + [{"a": 1}, None, [1]],
    "None then numbers": [None] * 7 + [1, None, 1.5],
    "dicts": [{"a": {"b": [1, None, 2**70, -0.0]}}, {}, {"x": math.nan}, {"": ""}, {"a.b": True}] * 2,
    "lists": [[], [1, 2.0, "x", None, True], [[math.inf]], [{}], [2**64]] * 2,
    "like our marks": [{"_type": "number", "value": value} for value in ("NaN", ["NaN"], math.nan, [], 1)]
    * 2,
    "int float text dict": [1, 2, 2**53 + 1, 1.5, math.nan, 2.0, "text", "1", {"a": 1}, [1]],
    "dict to int": [{"a": 1}, [2], {}, "x", "y", None, True, False, 2**60 + 1, 3],
    "bool then int": [True, False, True, 1, 0, 2**53 + 1, 1, True, 0, False],
    "text then None": ["a", "b", "c", None, None, None, "d", None, "e", "f"],
    "all in one part": [1, 1.0, True, "1", None, [1], {"v": 1}, 2**64, math.nan, -0.0],
    "~tilde": [1, 1.5, 2, "x", 3, 4, 5.5, 6, 7, 8],
    "~exact:floats": [1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    "_row": [9, 8, 7, 6, 5, "mine", 3, 2, 1, 0],
    "a/b.c d": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
}
ROWS = [{key: column[at] for key, column in KEYS.items()} for at in range(10)]
SPARSE: list[dict[str, Any]] = [{}, {"floats": 1}, {"only here": 2**64}, {"only here": "text", "late": -0.0}]


@pytest.fixture(autouse=True)
def no_recorder(tmp_path: Path) -> Iterator[None]:
    """Hold the recorder's lock in the test's own store, so that a stage does not change while it is read."""
    layout = Layout(tmp_path / "tracker-store")
    layout.make()
    lock = RecorderLock(layout)
    assert lock.acquire()
    yield
    lock.release()


def init(folder: Path, run_id: str, **arguments: Any) -> Run:
    return tracker.init(
        entity="team",
        project="p",
        id=run_id,
        reinit="create_new",
        settings={"store": folder / "tracker-store", "silent": True},
        **arguments,
    )


def logged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the history of a run that logged these rows: one step per row, also for empty rows."""
    kept = [without_empty({key: value for key, value in row.items() if key}) for row in rows]
    return [{**row, "_step": step} for step, row in enumerate(kept)]


def log_all(run: Run) -> list[dict[str, Any]]:
    """Log every kind of value; return the expected history."""
    expected = [*ROWS, *SPARSE]
    for data in [*ROWS, *SPARSE]:
        run.log(data)
    run.log({"array": np.arange(3.0), "scalar": np.int64(7), "half": np.float32(0.1), "flag": np.bool_(True)})
    run.log({"histogram": tracker.Histogram(np_histogram=([1, 2], [0.0, 0.5, 1.0])), "late": 2**64})
    expected.append({"array": [0.0, 1.0, 2.0], "scalar": 7, "half": 0.10000000149011612, "flag": True})
    histogram = {"_type": "histogram", "values": [1, 2], "bins": [0.0, 0.5, 1.0]}
    expected.append({"histogram": histogram, "late": 2**64})
    image, table = (
        tracker.Image(PIXELS, caption="✓"),
        tracker.Table(["id", "v"], [[1, math.nan], [2**70, None]]),
    )
    run.log({"image": image, "images": [image, tracker.Image(PIXELS)]})
    run.log({"table": table})
    sizes = {"size": len(image.data), "sha256": hashlib.sha256(image.data).hexdigest()}
    text = values.dumps({"columns": table.columns, "data": table.data}).encode()
    expected.append({"image": {"_type": "image-file", "width": 2, "height": 2, "caption": "✓", **sizes}})
    digest = hashlib.sha256(text).hexdigest()
    expected.append({"table": {"_type": "table-file", "ncols": 2, "nrows": 2, "sha256": digest}})
    return logged(expected)


def complete_media(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the expected rows with the fields of media that the test cannot predict, such as file names."""
    image, table = found[-2], found[-1]
    assert expected[-2]["image"].items() <= image["image"].items()
    assert expected[-1]["table"].items() <= table["table"].items()
    assert image["images"]["_type"] == "images/separated"
    assert image["images"]["count"] == 2
    return [
        *expected[:-2],
        {"image": image["image"], "images": image["images"], "_step": expected[-2]["_step"]},
        {"table": table["table"], "_step": expected[-1]["_step"]},
    ]


def read(run: PublicRun) -> list[dict[str, Any]]:
    """Return a run's rows, and check that all ways to read rows agree."""
    rows: list[dict[str, Any]] = run.history(pandas=False)
    assert exact(list(run.scan_history(min_step=-(2**62)))) == exact(rows)
    return rows


def check_keys(run: PublicRun, expected: list[dict[str, Any]]) -> None:
    """Check that a query for a few keys returns the rows that have any of them."""
    asked = ("floats", "None", "None then text", "None then bools", "int float text dict", "all in one part")
    for keys in (*([key] for key in asked), ["late", "only here"], ["dict to int", "~tilde"], ["nowhere"]):
        some = [
            {key: row[key] for key in (*keys, "_step") if key in row}
            for row in expected
            if any(key in row for key in keys)
        ]
        check_rows(run.history(keys=keys, pandas=False), some)
        whole = [row for row in some if all(key in row for key in keys)]
        scanned = list(run.scan_history(keys))
        assert exact(scanned) == exact([{key: row[key] for key in keys} for row in whole])
        if some:
            check_table(run.history_arrow(keys), some)


def check_run(run: PublicRun, expected: list[dict[str, Any]]) -> None:
    """Check that a run has exactly these rows, in every way to read rows."""
    check_rows(read(run), expected)
    check_table(run.history_arrow(), expected)
    check_keys(run, expected)


def stages(folder: Path, rows_in_part: int) -> Iterator[str]:
    """Move the runs of a store from journals to hot rows, parts, merged parts and a sealed run.

    Yield the name of each stage, so that the caller can read the store at this stage.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.store.ingest.apply.HOT_ROWS", rows_in_part)
        patch.setattr("tracker.store.ingest.apply.BATCH_BYTES", 600)
        yield "journal"
        store = open_store(folder / "tracker-store")
        try:
            apply_all(store)
            yield "parts"
            with store.reading() as session:
                ids = session.scalars(select(Segment.id)).all()
            for each in ids:
                compact_all(store, each)
            yield "merged"
            end_segments(store)
            seal_all(store)
            assert not store.layout.list_journals()
            yield "sealed"
        finally:
            store.close()


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("rows_in_part", [3, 1000])
def test_a_local_run_at_every_stage(tmp_path: Path, ended: bool, rows_in_part: int) -> None:
    run = init(tmp_path, "run")
    expected = log_all(run)
    if ended:
        run.finish()
    seen = []
    for stage in stages(tmp_path, rows_in_part):
        found = tracker.Api().run("team/p/run")
        if not seen:
            expected = complete_media(expected, read(found))
        check_run(found, expected)
        if stage == "parts":
            parts = len(list((tmp_path / "tracker-store").rglob("*.parquet")))
            # Reading a live run, or a run with an unsettled artifact (such as a table's), applies its
            # journal.
            assert parts > 0 if rows_in_part == 3 else parts == 0
        seen.append(stage)
        if stage == "merged" and not ended:
            break
    assert seen == ["journal", "parts", "merged", "sealed"][: 4 if ended else 3]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a store to which runs on this host log."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "tracker-store").mkdir()
    with serving(folder / "tracker-store") as server:
        yield server


def remote_reader(server: Server, folder: Path) -> RemoteReader:
    remote = Remote(server.url, server.key)
    return RemoteReader(remote, Layout(outbox_folder(folder / "nothing", remote.url)))


def check_served(server: Server, run_id: str, expected: list[dict[str, Any]], folder: Path) -> None:
    """Check that a server has exactly these rows: in its JSON, as Arrow, and through the Api."""
    with server.client() as api:
        answer = api.get(f"/projects/team/p/runs/{run_id}/history")
    assert answer.status_code == 200
    check_rows(values.loads(answer.content)["rows"], expected)
    json.loads(answer.content, parse_constant=_refuse)  # so that other languages can parse it
    reader = remote_reader(server, folder)
    try:
        check_rows(reader.history("team", "p", run_id, None, False), expected)
        check_table(reader.table("team", "p", run_id, None, None), expected)
    finally:
        reader.close()
    run = tracker.Api({"base_url": server.url, "store": folder / "tracker-store"}).run(f"team/p/{run_id}")
    check_keys(run, expected)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is not valid JSON")


def rows_served(server: Server, run_id: str) -> int:
    with server.client() as api:
        answer = api.get(f"/projects/team/p/runs/{run_id}/history")
    return len(values.loads(answer.content)["rows"]) if answer.status_code == 200 else 0


def state_served(server: Server, run_id: str) -> str:
    with server.client() as api:
        return str(api.get(f"/projects/team/p/runs/{run_id}").json()["state"])


@pytest.mark.slow
def test_through_a_server_live_and_sealed(served: Server, tmp_path: Path) -> None:
    run = init(served.store.parent, "served")
    expected = log_all(run)
    scripts.wait_for(lambda: rows_served(served, "served") == len(expected), "all rows")
    expected = complete_media(
        expected, remote_reader(served, tmp_path).history("team", "p", "served", None, False)
    )
    check_served(served, "served", expected, tmp_path)
    run.finish()
    scripts.wait_for(lambda: not list(served.store.rglob("*.journal")), "the run to be sealed")
    assert state_served(served, "served") == "finished"
    check_served(served, "served", expected, tmp_path)


# Random rows

keys = st.one_of(
    st.sampled_from(["loss", "a.b", "~x", "~exact:loss", "_row", "~_row", "a", ""]),
    st.text(st.characters(codec="utf-8"), max_size=6).filter(lambda key: key not in FIXED),
)
plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([2**53 + 1, -(2**53) - 1, 2**63, 2**64, -(2**63) - 1, 10**400]),
        st.floats(),
        st.text(st.characters(codec="utf-8"), max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab_", max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
rows_of_few_keys = st.lists(st.dictionaries(keys, plain, max_size=4), min_size=1, max_size=8)
numbers = count()
IN_ONE_STORE = settings(max_examples=20)


@pytest.mark.slow
@IN_ONE_STORE
@given(rows_of_few_keys)
def test_random_rows_at_every_stage(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    run_id = f"random-{next(numbers)}"
    run = init(tmp_path, run_id)
    for row in rows:
        run.log(row)
    run.finish()
    expected = logged(rows)
    for _ in stages(tmp_path, 2):
        found = tracker.Api().run(f"team/p/{run_id}")
        check_rows(read(found), expected)
        check_table(found.history_arrow(), expected)


@pytest.mark.slow
@settings(IN_ONE_STORE, max_examples=10)
@given(rows_of_few_keys)
def test_random_rows_through_a_server(served: Server, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assume(logged(rows))
    run_id = f"random-{next(numbers)}"
    run = init(served.store.parent, run_id)
    for row in rows:
        run.log(row)
    run.finish()
    expected = logged(rows)
    scripts.wait_for(lambda: rows_served(served, run_id) == len(expected), "all rows")
    reader = remote_reader(served, tmp_path)
    check_rows(reader.history("team", "p", run_id, None, False), expected)
    check_table(reader.table("team", "p", run_id, None, None), expected)
    reader.close()


# Merging parts

finished_rows = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["a", "b", "~a", "~exact:a", "_row", "_step"]), plain, max_size=4),
        st.integers(-(2**62), 2**62),
        st.floats(0, 1e10),
    ),
    min_size=1,
    max_size=12,
).map(
    lambda drawn: [FinishedRow(at, step, time, time / 2, data) for at, (data, step, time) in enumerate(drawn)]
)


def cut(rows: list[FinishedRow], sizes: list[int]) -> list[list[FinishedRow]]:
    """Return the rows in pieces of these sizes; the last piece has the remaining rows."""
    bounds = [0, *(at for at in accumulate(sizes) if at < len(rows)), len(rows)]
    return [rows[low:high] for low, high in pairwise(bounds)]


def text_of(rows: list[FinishedRow]) -> list[str]:
    return [exact([row.row, row.step, row.time, row.runtime, row.data]) for row in rows]


@pytest.mark.slow
@settings(max_examples=200)
@given(finished_rows, st.lists(st.integers(1, 5), max_size=12))
def test_columns_of_different_kinds_convert_to_one_kind(rows: list[FinishedRow], sizes: list[int]) -> None:
    tables = [rows_to_table(piece) for piece in cut(rows, sizes)]
    found: dict[str, list[tuple[str, bool]]] = {}
    for table in tables:
        for key, kind in kinds_of(table.schema).items():
            found.setdefault(key, []).append(kind)
    targets = {key: common_kind(kinds) for key, kinds in found.items()}
    back: list[FinishedRow] = []
    for table in tables:
        encoded: dict[str, Encoded] = {}
        for key, (kind, _) in kinds_of(table.schema).items():
            over = table.column(EXACT + key) if EXACT + key in roles_of(table.schema) else None
            main, texts = convert(kind, table.column(column_name(key)), over, targets[key])
            assert (texts is not None) == targets[key][1]
            encoded[key] = (targets[key][0], main, texts)
        conformed = make_table([table.column(name) for name in FIXED_COLUMNS], encoded)
        back += table_to_rows(conformed, roles_of(conformed.schema))
    assert text_of(back) == text_of(rows)


kinds = st.one_of(
    st.tuples(st.sampled_from(["double", "int64", "bool", "string"]), st.booleans()),
    st.tuples(st.just("json"), st.booleans()),
)


@given(st.lists(kinds, min_size=2, max_size=6), st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_kind_of_merged_parts_is_the_same_in_any_order(
    found: list[tuple[str, bool]], random: Random, at: int
) -> None:
    whole = common_kind(found)
    shuffled = random.sample(found, len(found))
    assert common_kind(shuffled) == whole
    at = min(at, len(found) - 1)
    in_steps = common_kind([common_kind(shuffled[:at]), common_kind(shuffled[at:])])
    assert in_steps[0] == whole[0]


@pytest.mark.slow
@IN_ONE_STORE
@given(finished_rows, st.lists(st.integers(1, 4), max_size=8), st.booleans())
def test_merged_parts_have_the_rows_of_their_parts(
    store: Store, rows: list[FinishedRow], sizes: list[int], late: bool
) -> None:
    name = f"{next(numbers):032x}"
    Writer(store.layout, name, f"run-{name}").journal.close()
    apply_all(store)
    folder = store.layout.run("team", "demo", f"run-{name}") / "history"
    at = segment_id(store, name)
    pieces = [rows[start::3] for start in range(3) if rows[start::3]] if late else cut(rows, sizes)
    for piece in pieces:
        part = write_part(store, folder, name, piece)
        with store.writing() as session:
            add_part(store, session, at, part)
    assert len(list(folder.glob("*.parquet"))) == len(pieces)
    compact_all(store, at)
    (path,) = folder.glob("*.parquet")
    assert path.name.startswith(f"{name}-{0:012d}-{rows[-1].row:012d}-")
    assert [exact(list(row)) for row in all_rows(store, name)] == text_of(rows)


def test_the_kind_of_a_column_does_not_depend_on_the_parts(store: Store) -> None:
    """A rebuilt store has other parts than the live store had, but the same columns."""
    rows = [
        FinishedRow(at, at, 1.0, 0.5, {"k": value}) for at, value in enumerate([None, None, "a", None, "b"])
    ]
    whole = source_table([HistorySource([], lambda: rows, None)])
    assert whole.schema.field("k").metadata == {b"kind": b"string"}
    for sizes in ([1], [2], [2, 1], [1, 1, 1, 1]):
        folder = store.root / "runs" / f"{len(sizes)}{sizes[0]}"
        parts = [write_part(store, folder, "a" * 32, piece) for piece in cut(rows, sizes)]
        found = source_table(
            [HistorySource([PartFile(0, part.path, part.rows) for part in parts], list, None)]
        )
        assert found.schema.equals(whole.schema, check_metadata=True)
        assert found.equals(whole)


@pytest.mark.parametrize("sealed", [False, True])
def test_rows_of_a_key_are_all_rows_that_logged_it(store: Store, sealed: bool) -> None:
    writer = Writer(store.layout, "a" * 32)
    for value in (1.0, None, "diverged", [1, 2]):
        writer.log({"x": value})
        writer.log({"y": 1})
    writer.finish()
    apply_all(store)
    if sealed:
        seal_all(store)
    with store.reading() as session:
        run = session.scalars(select(CatalogRun)).one()
        table = history.table(session, run, store.root, ["x"])
    assert table.column("_step").to_pylist() == [0, 2, 4, 6]
    assert table.column("x").to_pylist() == [1.0, None, None, None]
    assert [row["_step"] for row in read_history(store, keys=["x"])] == [0, 2, 4, 6]
