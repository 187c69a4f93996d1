"""Tables of a run, step by step."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from builders import Writer, apply_all, get_run, seal_all

from tracker.errors import NotFoundError
from tracker.ground.read_models import TablePage
from tracker.store.queries import media
from tracker.store.queries.files import run_files
from tracker.store.queries.tables import TablePlace, table_page
from tracker.store.store import Store


def test_table_pages(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32)
    for step, count in enumerate((1, 5)):
        path = f"media/table/t_{step}.table.json"
        content = {"columns": ["n", "x"], "data": [[at, None] for at in range(count)]}
        writer.file(path, json.dumps(content).encode(), "application/json")
        writer.log({"t": {"_type": "table-file", "path": path}})
    writer.log({"t": {"_type": "table-file", "path": "never/saved.json"}})
    apply_all(store)

    def page_of(key: str, step: int | None = None, **options: int) -> TablePage:
        return table_page(store, TablePlace(("team", "demo", "run1"), key, step), **options)  # type: ignore[arg-type]

    page = page_of("t", 1, offset=1, limit=2)
    assert (page.key, page.step, page.steps, page.columns) == ("t", 1, [0, 1, 2], ["n", "x"])
    assert (page.total, page.rows) == (5, [[1, None], [2, None]])
    assert page_of("t", 0).rows == [[0, None]]
    with pytest.raises(NotFoundError, match=r"run run1 has no file never/saved.json"):
        page_of("t")
    with pytest.raises(NotFoundError, match="no table 't' at step 9"):
        page_of("t", 9)
    with pytest.raises(NotFoundError, match="no table 'x'"):
        page_of("x")
    with store.reading() as session:
        assert [file.path for file in media.list_files(session, get_run(store))] == [
            "media/table/t_0.table.json",
            "media/table/t_1.table.json",
        ]


def test_a_file_saved_again_is_the_newer_one(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32)
    writer.file("notes.txt", b"first")
    apply_all(store)
    writer.file("notes.txt", b"second")
    apply_all(store)
    with store.reading() as session:
        found = media.run_file(session, get_run(store), "notes.txt")
    assert (store.blobs.read(found.sha256), found.size) == (b"second", 6)


def test_files_are_listed_by_prefix_and_page(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32)
    paths = [
        "a",
        "media/images/1.png",
        "media/images/2.png",
        "media/images!",
        "media/table/t.json",
        "media0",
        "ü/%_",
    ]
    for size, path in enumerate(paths, 1):
        writer.file(path, b"x" * size)
    writer.log({})
    apply_all(store)
    with store.reading() as session:
        run = get_run(store)

        def listed(*options: Any) -> tuple[int, int, list[str]]:
            page = run_files(store.blobs, session, run, *options)
            return page.total, page.size, [file.path for file in page.files]

        assert listed() == (7, 28, sorted(paths))
        assert listed("media/images/") == (2, 5, paths[1:3])
        assert listed("media/", 1, 2) == (4, 14, ["media/images/1.png", "media/images/2.png"])
        assert listed("ü/%") == (1, 7, ["ü/%_"])
        assert listed("none") == (0, 0, [])


def test_media_of_a_long_run_are_read_at_evenly_spaced_steps(store: Store) -> None:
    writer = Writer(store.layout, "1" * 32)
    logged: list[Any] = [
        {"_type": "histogram", "values": [1], "bins": [math.nan, 1]},
        3,
        None,
        [1],
        math.nan,
        "[text",
    ]
    for at in range(60):
        writer.log({"h": logged[at % 6]})
    writer.finish()
    apply_all(store)
    for seal in (False, True):
        if seal:
            seal_all(store)
        with store.reading() as session:
            found = media.objects(store, session, get_run(store), "h")
            assert [step for step, _ in found] == sorted([*range(0, 60, 6), *range(3, 60, 6)])
            assert repr([value for _, value in found]) == repr([logged[0], [1]] * 10)
            some = media.objects(store, session, get_run(store), "h", limit=3)
            assert [step for step, _ in some] == [found[0][0], found[10][0], found[19][0]]
            assert media.objects(store, session, get_run(store), "absent") == []
