"""Reading without a catalog gives the catalog's answers before, during and after applying and sealing."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ENTITY, HOST, PROJECT, START, Writer, apply_all, end_segments, no_catalog, seal_all

from tracker.errors import NotFoundError
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.records import ArtifactChanged, ConfigChanged
from tracker.ground.values import dumps
from tracker.journal.format import pack_header
from tracker.reading.catalog_free import CatalogFreeReader, find_artifact
from tracker.reading.resume_state import find_run
from tracker.recorder.open_store import open_store
from tracker.store.ingest.artifact_edits import change_artifact
from tracker.store.objects.layout import JournalPath, Layout
from tracker.store.queries.artifacts import artifact_detail
from tracker.store.store import Store

A, B = "aa" * 16, "bb" * 16
REFERENCES = ["v0", "v1", "v2", "v3", "latest", "best", "x", "y", "gone", "v99999999999999999999", ""]


def by_files(layout: Layout, reference: str, name: str = "model") -> ArtifactDetail | None:
    try:
        return find_artifact(layout, ENTITY, PROJECT, name, reference)
    except NotFoundError:
        return None


def by_catalog(store: Store, reference: str, name: str = "model") -> ArtifactDetail | None:
    try:
        with store.reading() as session:
            found = artifact_detail(session, ENTITY, PROJECT, name, reference)
    except NotFoundError:
        return None
    return dataclasses.replace(found, used_by=[])  # only the catalog knows the runs that used it


def write_models(writer: Writer) -> None:
    writer.artifact("model", {"w": b"0"}, ["best", "x"], metadata={"score": 2**65}, description="first")
    writer.artifact("model", {"w": b"1", "sub/v": b"1"}, ["latest"])
    writer.artifact("model", {"w": b"1", "sub/v": b"1"}, ["best"])  # the same content again
    writer.artifact("other", {"w": b"0"}, ["best"])
    writer.artifact("model", {"w": b"2"}, ["y"])
    writer.artifact("model", {"w": b"0"}, ["latest"])


def test_same_answers_before_and_after(store: Store) -> None:
    write_models(Writer(store.layout, A))
    before = {reference: by_files(store.layout, reference) for reference in REFERENCES}
    apply_all(store)
    expected = {reference: by_catalog(store, reference) for reference in REFERENCES}
    assert before == expected
    assert expected["latest"] is not None
    assert (expected["latest"].version, expected["best"].version) == ("v3", "v1")  # type: ignore[union-attr]
    assert {reference: by_files(store.layout, reference) for reference in REFERENCES} == expected
    end_segments(store)
    seal_all(store)
    assert store.layout.list_journals() == []
    assert {reference: by_files(store.layout, reference) for reference in REFERENCES} == expected


@pytest.mark.slow
def test_same_answers_when_applied_up_to_any_record(tmp_path: Path) -> None:
    source = open_store(tmp_path / "source")
    writer = Writer(source.layout, A)
    write_models(writer)
    apply_all(source)
    expected = {reference: by_catalog(source, reference) for reference in REFERENCES}
    data = writer.path.read_bytes()
    source.close()
    ends = [index for index in range(len(data)) if data.startswith(b"\xc1\xfeT\xc1", index)][1:]
    assert len(ends) == 6
    for end in ends:
        store = open_store(tmp_path / f"applied{end}")
        shutil.copytree(source.layout.blobs, store.layout.blobs, dirs_exist_ok=True)
        path = store.layout.journal(HOST, A, 0)
        path.parent.mkdir()
        path.write_bytes(data[:end])
        apply_all(store)
        path.write_bytes(data)
        assert {reference: by_files(store.layout, reference) for reference in REFERENCES} == expected
        apply_all(store)
        assert {reference: by_catalog(store, reference) for reference in REFERENCES} == expected
        store.close()


def test_content_applied_earlier_does_not_become_a_new_version(store: Store) -> None:
    first = Writer(store.layout, A)
    first.artifact("model", {"w": b"0"})
    first.artifact("model", {"w": b"0"}, ["x"])
    apply_all(store)
    Writer(store.layout, B, "run2", start=START + 100).artifact("model", {"w": b"1"})
    apply_all(store)  # the journals still exist, because the segments are not sealed
    for reference in REFERENCES:
        assert by_files(store.layout, reference) == by_catalog(store, reference)
    assert by_files(store.layout, "v2") is None


def test_late_records_have_the_same_effect_as_after_applying(store: Store) -> None:
    first = Writer(store.layout, A)
    logged = first.artifact("model", {"w": b"0"}, ttl=5.0)
    other = first.artifact("model", {"w": b"1"}, ["best"], ttl=5.0)
    apply_all(store)
    late = Writer(store.layout, B, "run2", start=START)
    for time, description in ((20.0, "newer"), (10.0, "older")):
        seen = (ENTITY, PROJECT, "model", 0, logged.digest, START + time)
        change = ArtifactChanged(*seen, aliases_added=["x"], values={"description": description})
        late.put(change) if description == "older" else change_artifact(store, change)
    late.put(ArtifactChanged(ENTITY, PROJECT, "model", 1, other.digest, START + 10, aliases_added=["x"]))
    late.clock = START + 30
    late.artifact(
        "model", {"w": b"1"}, artifact_type="another", ttl=5.0
    )  # renewed after its lifetime had ended
    late.artifact("model", {"w": b"2"}, artifact_type="another")  # the collection has a type already
    before = {reference: by_files(store.layout, reference) for reference in REFERENCES}
    apply_all(store)
    assert before == {reference: by_catalog(store, reference) for reference in REFERENCES}
    assert before["x"] is not None
    assert (before["x"].version, before["x"].description) == ("v0", "newer")


def test_unknown_artifact_and_reference(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there is no artifact team/demo/model in"):
        find_artifact(store.layout, ENTITY, PROJECT, "model", "latest")
    Writer(store.layout, A).artifact("model", {"w": b"0"}, ["best"])
    with pytest.raises(NotFoundError, match=r"no version or alias 'v7'; there is v0, aliases: best, latest"):
        find_artifact(store.layout, ENTITY, PROJECT, "model", "v7")
    with pytest.raises(NotFoundError):
        find_artifact(store.layout, ENTITY, "elsewhere", "model", "latest")


def test_content_of_an_artifact(store: Store) -> None:
    Writer(store.layout, A).artifact("model", {"w": b"weights"})
    reader = CatalogFreeReader(store.layout, no_catalog)
    found = reader.artifact(ENTITY, PROJECT, "model", "latest")
    assert b"".join(reader.chunks(found, reader.manifest(found).entries[0])) == b"weights"
    reader.close()


def test_broken_and_empty_journals_do_not_hide_other_journals(store: Store) -> None:
    folder = store.layout.host_journals(HOST)
    folder.mkdir()
    (folder / f"{'00' * 16}-000000.journal").write_bytes(b"garbage" * 10)
    (folder / f"{'01' * 16}-000000.journal").touch()
    (folder / f"{'02' * 16}-000000.journal").write_bytes(pack_header("02" * 16, 0) + b"torn")
    (folder / f"{'03' * 16}-000000.journal").mkdir()
    writer = Writer(store.layout, A)
    writer.artifact("model", {"w": b"0"})
    with writer.path.open("ab") as file:
        file.write(b"\x00" * 100)
    writer.next_file()
    writer.artifact("model", {"w": b"1"})
    found = by_files(store.layout, "latest")
    assert found is not None
    assert found.version == "v1"


class Sealing(Layout):
    """A store whose ended segments are sealed at the n-th read."""

    def __init__(self, store: Store, looks: int) -> None:
        super().__init__(store.root)
        self._store, self._looks = store, looks

    def _look(self) -> None:
        if self._looks == 0:
            seal_all(self._store)
        self._looks -= 1

    def list_journals(self, host: str | None = None) -> list[JournalPath]:
        self._look()
        found = super().list_journals(host)
        self._look()
        return found

    def run_file(self, entity: str, project: str, run_id: str) -> Path:
        self._look()
        return super().run_file(entity, project, run_id)

    def list_versions(self, entity: str, project: str, name: str) -> list[int]:
        self._look()
        return super().list_versions(entity, project, name)


@pytest.mark.parametrize("looks", range(5))
def test_a_run_that_is_sealed_during_the_read(store: Store, looks: int) -> None:
    writer = Writer(store.layout, A)
    for step in range(100):
        writer.log({"x": step})
        if step in (1, 50):  # the published file is older than the journal, which has two files
            apply_all(store)
        if step == 60:
            writer.put(ConfigChanged({"lr": 1}))
            writer.next_file()
    writer.put(ConfigChanged({"lr": 2}))
    writer.artifact("model", {"w": b"0"}, ["best"])
    writer.finish()
    path = store.layout.run_file(ENTITY, PROJECT, "run1")
    older = path.read_bytes()
    apply_all(store)
    path.write_bytes(older)
    found = find_run(Sealing(store, looks), ENTITY, PROJECT, "run1")
    assert found is not None
    assert (found.merged.last_step, found.merged.config) == (99, {"lr": 2})


@pytest.mark.parametrize("looks", range(6))
def test_an_artifact_whose_run_is_sealed_during_the_read(store: Store, looks: int) -> None:
    writer = Writer(store.layout, A)
    writer.artifact("model", {"w": b"0"}, ["best"])
    writer.finish()

    class Applying(Sealing):
        def _look(self) -> None:
            if self._looks == 0:
                apply_all(self._store)
            super()._look()

    found = by_files(Applying(store, looks), "best")
    assert found is not None
    assert found.version == "v0"


# Runs


def test_unknown_run(store: Store) -> None:
    Writer(store.layout, A, "another")
    assert find_run(store.layout, ENTITY, PROJECT, "run1") is None


def test_run_before_and_after(store: Store) -> None:
    writer = Writer(store.layout, A, name="calm-river-1", config={"lr": 1})
    writer.log({"x": 1})
    writer.log({"y": 2}, step=9)  # a row that is still open
    before = find_run(store.layout, ENTITY, PROJECT, "run1")
    assert before is not None
    merged = before.merged
    assert (merged.config, merged.summary, merged.name) == ({"lr": 1}, {"x": 1}, "calm-river-1")
    assert (merged.last_step, merged.duration, before.segments[A].state.reached) == (0, 2.0, 9)
    writer.finish()
    apply_all(store)
    with_both = find_run(store.layout, ENTITY, PROJECT, "run1")
    seal_all(store)
    sealed = find_run(store.layout, ENTITY, PROJECT, "run1")
    assert with_both is not None and sealed is not None
    assert (sealed.merged, sealed.segments) == (with_both.merged, with_both.segments)
    assert (sealed.merged.last_step, sealed.merged.duration) == (9, 3.0)
    assert (sealed.merged.config, sealed.merged.summary) == ({"lr": 1}, {"x": 1, "y": 2})


def test_run_of_several_attempts(store: Store) -> None:
    first = Writer(store.layout, B, config={"lr": 1, "old": 1})
    first.log({"x": 1}, step=50)
    first.finish("failed")
    apply_all(store)
    seal_all(store)
    Writer(store.layout, A, attempt=1, start_step=51, start=START + 60, config={"lr": 2}).log({"x": 2})
    found = find_run(store.layout, ENTITY, PROJECT, "run1")
    assert found is not None
    merged = found.merged
    assert (merged.last_step, merged.config, merged.summary) == (51, {"lr": 2, "old": 1}, {"x": 2})
    assert (len(found.segments), found.here) == (2, set())


@pytest.mark.parametrize(("deleted_at", "known"), [(START, False), (START + 30, False), (START - 1, True)])
def test_a_deletion_affects_only_segments_that_started_before_it(
    store: Store, deleted_at: float, known: bool
) -> None:
    Writer(store.layout, A).finish()
    apply_all(store)
    seal_all(store)
    store.layout.tombstone(ENTITY, PROJECT, "run1").write_text(dumps({"time": deleted_at}))
    assert (find_run(store.layout, ENTITY, PROJECT, "run1") is not None) == known


def test_a_deleted_run_that_was_started_again_is_found(store: Store) -> None:
    for name, start in ((A, START), (B, START + 60)):
        Writer(store.layout, name, attempt=int(name == B), start=start).finish()
    apply_all(store)
    seal_all(store)
    store.layout.tombstone(ENTITY, PROJECT, "run1").write_text(dumps({"time": START + 30}))
    found = find_run(store.layout, ENTITY, PROJECT, "run1")
    assert found is not None and set(found.segments) == {A, B}


def test_a_segment_with_a_lost_journal_has_its_published_values(store: Store) -> None:
    writer = Writer(store.layout, A, name="calm-river-1", config={"lr": 1}, tags=["t"])
    writer.log({"x": 1}, step=7)
    writer.finish()
    apply_all(store)
    writer.path.unlink()
    Writer(store.layout, B, attempt=1, start_step=8, start=START + 60, config={"depth": 2}).log({"y": 2})
    found = find_run(store.layout, ENTITY, PROJECT, "run1")
    assert found is not None
    assert (found.merged.config, found.merged.summary) == ({"lr": 1, "depth": 2}, {"x": 1, "y": 2})
    assert (found.merged.name, found.merged.tags, found.segments[A].state.reached) == (
        "calm-river-1",
        ["t"],
        7,
    )


def test_neither_sqlalchemy_nor_pyarrow_is_imported() -> None:
    code = (
        "import sys, tracker.reading.catalog_free\n"
        "print(sorted({'sqlalchemy', 'pyarrow', 'numpy', 'alembic'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
