"""Results are kept until the next change of the catalog, and in limited memory."""

from __future__ import annotations

from builders import ENTITY, PROJECT, START, Writer, apply_all

from tracker.ground import values
from tracker.store.catalog.revision_cache import LARGEST_CACHE, RevisionCache
from tracker.store.queries.run_pages import PageAsked
from tracker.store.queries.run_rows import page_json
from tracker.store.store import Store


def test_old_revisions_and_large_results_are_dropped() -> None:
    cache = RevisionCache()
    third = LARGEST_CACHE // 3
    for name in "abc":
        cache.keep(1, name, name, third)
    assert cache.find(1, "a") == "a"
    cache.keep(1, "d", "d", third)
    assert [cache.find(1, name) for name in "abcd"] == ["a", None, "c", "d"]
    cache.keep(1, "huge", "huge", LARGEST_CACHE + 1)
    cache.keep(2, "e", "e", 10)
    cache.keep(1, "late", "late", 10)
    assert [cache.find(2, name) for name in ("a", "late", "huge", "e")] == [None, None, None, "e"]
    assert cache.find(1, "e") is None


def test_an_answer_changes_with_the_store(store: Store) -> None:
    def names() -> list[str]:
        asked = PageAsked(ENTITY, PROJECT, order="name", query="river")
        text = store.answer(lambda session: page_json(session, asked))
        assert store.answer(lambda session: page_json(session, asked)) is text
        return [run["id"] for run in values.loads(text)["runs"]]

    assert names() == []
    for at in range(3):
        Writer(store.layout, f"{at + 1:032x}", f"r{at}", start=START + at, name=f"river-{9 - at}")
        apply_all(store)
        assert names() == [f"r{each}" for each in range(at, -1, -1)]
