"""One suite of questions: a catalog, files without a catalog, and a server give the same answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from builders import no_catalog
from questions import CHANGES, OTHERS, QUESTIONS, P, answer, change_runs, log_runs, page
from readers import reading_with
from serving import Server, serving

from tracker.errors import HeldElsewhereError, NotFoundError, ReadOnlyError, StoreError, UsageError
from tracker.reading.catalog_free import CatalogFreeReader
from tracker.reading.catalog_free_run import CatalogFreeRunReader
from tracker.reading.reader import ArtifactReader, Reader
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import Layout
from tracker.store.recovery.verify import list_items, verify


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a store with runs of every kind: deleted, archived, moved, with tables and artifacts."""
    folder = tmp_path_factory.mktemp("questions")
    log_runs(folder / "tracker-store")
    with serving(folder / "tracker-store", key=True) as server:
        change_runs(server)
        yield server
    assert server.errors == []


def test_every_method_of_the_readers_has_a_question() -> None:
    methods = {name for name in dir(Reader) if not name.startswith("_")}
    assert methods == {*QUESTIONS, *CHANGES, *OTHERS}


@pytest.mark.parametrize("kind", ["remote", "files", "folder"])
def test_all_readers_give_the_answers_of_the_catalog(served: Server, kind: str) -> None:
    with reading_with("local", served) as local, reading_with(kind, served) as other:
        for name, questions in QUESTIONS.items():
            for at, question in enumerate(questions):
                expected = answer(question, local)
                assert answer(question, other) == expected, f"{name}, question {at}"
        assert len(page(local).runs) == 3  # r3 is archived, r4 deleted, r5 moved
        with pytest.raises(NotFoundError):
            other.run(*P, "r5")
        with pytest.raises(UsageError, match="character"):
            page(other, query="(state:failed")


REFUSALS = {"files": (ReadOnlyError, StoreError), "folder": (HeldElsewhereError,)}


@pytest.mark.parametrize("kind", REFUSALS)
def test_files_refuse_changes_in_one_line(served: Server, kind: str) -> None:
    with reading_with(kind, served) as reader:
        before = {name: [answer(each, reader) for each in QUESTIONS[name]] for name in QUESTIONS}
        for name, change in CHANGES.items():
            with pytest.raises(REFUSALS[kind]) as caught:
                change(reader)
            message = caught.value.message
            assert "\n" not in message, name
            if kind == "folder":
                assert "on the host that runs `tracker server`" in message, name
            else:
                assert isinstance(caught.value, ReadOnlyError) or "Open it again" in message, name
        assert before == {name: [answer(each, reader) for each in QUESTIONS[name]] for name in QUESTIONS}


def test_verification_reads_each_kind_of_file(served: Server) -> None:
    store = open_store(served.store)
    faults: list[str] = []
    verify(store, list_items(store), faults.append, lambda _size: None)
    store.close()
    assert faults == []


RUN_QUESTIONS = ("run", "history", "table")


def test_one_run_is_read_from_its_files_without_any_catalog(served: Server) -> None:
    def refuse() -> Any:
        raise NotFoundError("the catalog was asked")

    reader = CatalogFreeRunReader(Layout(served.store), refuse)
    with reading_with("local", served) as local:
        for name in RUN_QUESTIONS:
            for question in QUESTIONS[name]:
                expected = answer(question, local)
                if not expected.startswith("NotFoundError"):
                    assert answer(question, reader) == expected, name


def without_users(answer: str) -> str:
    """Return an answer without the runs that used a version, which only a catalog knows."""
    return re.sub(r"used_by=\[.*?\]", "used_by=[]", answer)


def test_one_artifact_is_read_from_its_files_without_any_catalog(served: Server) -> None:
    reader = CatalogFreeReader(Layout(served.store), no_catalog)
    answered = {name for name in dir(ArtifactReader) if not name.startswith("_")} - {*OTHERS, *CHANGES}
    with reading_with("local", served) as local:
        for name in sorted(answered - {"links"}):
            for question in QUESTIONS[name]:
                expected = without_users(answer(question, local))
                found = without_users(answer(question, reader))
                assert found == expected or expected.startswith("NotFoundError"), name
