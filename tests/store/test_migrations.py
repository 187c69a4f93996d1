"""Catalogs of earlier revisions are migrated to the current one. Newer catalogs are rejected."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scripts
from builders import START, Writer, all_rows, answers, apply_all, as_before, end_segments, seal_all
from exact import exact
from serving import command
from sqlalchemy import select

from server.keys import own_key
from tracker.errors import StoreVersionError
from tracker.ground import values
from tracker.ground.records import ArtifactChanged, ArtifactLinked, ConsoleLines, SystemSample
from tracker.recorder.open_store import open_store
from tracker.store.catalog import migrations
from tracker.store.catalog.migrations import REVISION, REVISIONS
from tracker.store.catalog.models import HotRow, Part, RunFile, Segment
from tracker.store.gc.collect import collect
from tracker.store.ingest.artifact_edits import change_artifact, link_artifact
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.people import hash_secret
from tracker.store.ingest.restoration import restore_run
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.objects.layout import Layout
from tracker.store.queries import captured
from tracker.store.queries.artifacts import artifact_detail
from tracker.store.queries.deleted_runs import list_deleted
from tracker.store.queries.people import load_people
from tracker.store.queries.runs import get_run, list_runs
from tracker.store.recovery.open_catalog import hold_exclusively
from tracker.store.recovery.rebuild import rebuild
from tracker.store.store import Store

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
EXPECTED = values.loads((FIXTURES / "revision-0001" / "expected.json").read_text(encoding="utf-8"))
# The second attempt of a run does not repeat the definition of the first: definitions belong to the run
# (decision 30). After applying the journals, the summary has the aggregate over the visible rows of both.
LOSS = {"min": -0.0, "mean": (sum(1.0 / (at + 1) for at in range(10)) + 7.0) / 12}
for _run in (EXPECTED["ended"]["team/demo"]["runs"][2], EXPECTED["ended"]["team/demo/alpha"]["run"]):
    assert _run["id"] == "alpha" and _run["summary"]["loss"] == math.inf
    _run["summary"]["loss"] = LOSS
A_RUN = "team/demo/alpha"

# Opens a store, and kills itself just before or just after the N-th statement of the upgrade (0: never).
# Prints the number of statements.
UPGRADE = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from tracker.recorder.open_store import open_store
at, when = int(sys.argv[2]), sys.argv[3]
seen = 0
def count(moment):
    def on(connection, cursor, statement, *rest):
        global seen
        if statement.split()[0] in ("PRAGMA", "SELECT"):
            return
        seen += moment == "before"
        if seen == at and moment == when:
            os.kill(os.getpid(), signal.SIGKILL)
    return on
event.listen(Engine, "before_cursor_execute", count("before"))
event.listen(Engine, "after_cursor_execute", count("after"))
def committed(connection):
    if when == "commit" and seen >= at:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "commit", committed)
open_store(Path(sys.argv[1]), create=False).close()
print(seen)
"""


def copy(tmp_path: Path, fixture: str = "revision-0001/store") -> Path:
    root = Path(shutil.copytree(FIXTURES / fixture, tmp_path / "tracker-store"))
    for journal in root.glob("journals/*/*"):
        journal.touch()  # recent journals, whose writers may be alive
    return root


def said(store: Store) -> str:
    return text_of(answers(store))


def text_of(found: dict[str, Any]) -> str:
    """Return the answers of queries as text, without fields that were added after the fixture was made."""
    return values.dumps(as_before(found), indent=1, sort_keys=True)


def revision(root: Path) -> str:
    catalog = sqlite3.connect(root / "catalog.db")
    try:
        return str(catalog.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    finally:
        catalog.close()


def found(store: Store, filters: dict[str, Any]) -> list[str]:
    with store.reading() as session:
        return sorted(run.id for run in list_runs(session, "team", "demo", filters=filters).runs)


def rows_of(store: Store, segment: str) -> list[str]:
    return [exact(list(row)) for row in all_rows(store, segment)]


def upgrade(root: Path, at: int = 0, when: str = "never") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", UPGRADE, str(root), str(at), when],
        env=scripts.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


def contents(root: Path) -> dict[str, bytes]:
    """Return the files of a store, except locks and temporary files of SQLite."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
        and path.parent.name != "leases"
        and "locks" not in path.parts
        and path.suffix not in (".db-wal", ".db-shm")
    }


def test_fixtures_of_older_versions_are_unchanged() -> None:
    """A new fixture adds lines to the list. Fixtures and the scripts that made them never change."""
    listed = dict(reversed(line.split("  ")) for line in (FIXTURES / "SHA256SUMS").read_text().splitlines())
    paths = [path for path in FIXTURES.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    found = {
        str(path.relative_to(FIXTURES)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name != "SHA256SUMS"
    }
    assert found == listed


def test_migrations_do_not_import_the_package() -> None:
    for path in Path(migrations.__file__).parent.joinpath("versions").glob("*.py"):
        assert not re.findall(r"^(?:from|import) tracker", path.read_text(), re.MULTILINE), path.name


def test_every_revision_but_the_newest_has_a_fixture() -> None:
    assert {path.name for path in FIXTURES.glob("revision-*")} == {
        f"revision-{name}" for name in REVISIONS[:-1]
    }


def test_an_older_store_answers_as_before(tmp_path: Path) -> None:
    root = copy(tmp_path)
    assert revision(root) == "0001"
    store = open_store(root, create=False)
    assert revision(root) == REVISION
    assert said(store) == text_of(EXPECTED["opened"])
    with store.reading() as session:
        for segment in session.scalars(select(Segment)):
            hot = session.scalars(select(HotRow.row).where(HotRow.segment_id == segment.id)).all()
            assert segment.hot_count == len(hot)
            assert segment.adopted == 0
            assert segment.fault is None
        assert session.scalars(select(HotRow.row)).first() is not None
    store.close()


def test_artifacts_of_revision_0002(tmp_path: Path) -> None:
    """Their version files contain entries. They are rebuilt, changed and linked like newer versions."""
    expected = values.loads((FIXTURES / "revision-0002" / "expected.json").read_text(encoding="utf-8"))
    root = copy(tmp_path, "revision-0002/store")
    assert revision(root) == "0002"
    store = open_store(root, create=False)
    assert said(store) == text_of(expected["opened"])
    apply_all(store, final=True)
    end_segments(store)
    assert said(store) == text_of(expected["ended"])
    seal_all(store)
    place = ("team", "demo", "model", 0, "")
    changed = change_artifact(
        store, ArtifactChanged(*place, START + 1000, ["good"], ["best"], {"tags": ["t"]})
    )
    assert (changed.aliases, changed.tags, changed.metadata) == (["good"], ["t"], {"rows": 2**65})
    link_artifact(store, ArtifactLinked(*place, "team", "model-registry", "digits", [], START + 1001))
    before = answers(store)
    store.close()
    with hold_exclusively(Layout(root)) as hold:
        assert rebuild(Layout(root), hold).broken == []
    store = open_store(root, create=False)
    apply_all(store)
    assert exact(answers(store)) == exact(before)
    with store.reading() as session:
        linked = artifact_detail(session, "team", "model-registry", "digits", "latest")
    assert (linked.source, linked.logged_by) == ("team/demo/model:v0", "alpha")
    store.close()


def test_a_store_of_revision_0003_accepts_output_and_samples(tmp_path: Path) -> None:
    expected = values.loads((FIXTURES / "revision-0003" / "expected.json").read_text(encoding="utf-8"))
    root = copy(tmp_path, "revision-0003/store")
    assert revision(root) == "0003"
    store = open_store(root, create=False)
    assert said(store) == text_of(expected["opened"])
    apply_all(store, final=True)
    end_segments(store)
    assert said(store) == text_of(expected["ended"])
    writer = Writer(store.layout, "c3" * 16, "gamma")
    writer.put(SystemSample(writer.tick(), {"cpu": 5.0}))
    writer.put(ConsoleLines(writer.tick(), [(0, 1, "hello")]))
    writer.finish()
    apply_all(store)
    seal_all(store)
    with store.reading() as session:
        run = get_run(session, "team", "demo", "gamma")
        assert [line.text for line in captured.console(session, run, store.root).lines] == ["hello"]
        assert [each.rows[0]["cpu"] for each in captured.system(session, run, store.root)] == [5.0]
    store.close()


def test_a_store_of_revision_0004_keeps_its_blobs(tmp_path: Path) -> None:
    """Files of its runs stay in their blobs, even if a new run has the same content."""
    expected = values.loads((FIXTURES / "revision-0004" / "expected.json").read_text(encoding="utf-8"))
    root = copy(tmp_path, "revision-0004/store")
    assert revision(root) == "0004"
    store = open_store(root, create=False)
    assert said(store) == text_of(expected)
    seal_all(store)
    assert said(store) == text_of(expected)
    writer = Writer(store.layout, "c3" * 16, "gamma")
    for at, content in enumerate((b"content of both", b"new", b"newer")):
        writer.file(f"{at}.txt", content)
    writer.finish()
    apply_all(store)
    seal_all(store)
    collect(store, grace=0.0, ahead=1.0)
    with store.reading() as session:
        contents = {file.path: store.blobs.read(file.sha256) for file in session.scalars(select(RunFile))}
    assert contents["media/both.txt"] == contents["0.txt"] == b"content of both"
    assert (contents["1.txt"], contents["media/sealed_2.txt"]) == (b"new", b"content 2 of sealed")
    assert len(store.layout.list_packs()) == 1
    store.close()


def test_runs_of_revision_0005_have_no_reason(tmp_path: Path) -> None:
    expected = values.loads((FIXTURES / "revision-0005" / "expected.json").read_text(encoding="utf-8"))
    root = copy(tmp_path, "revision-0005/store")
    assert revision(root) == "0005"
    store = open_store(root, create=False)
    assert said(store) == text_of(expected)
    with store.reading() as session:
        runs = [get_run(session, "team", "demo", name) for name in ("failed", "crashed", "silent")]
    assert {(run.reason, run.last_seen) for run in runs} == {(None, None)}
    store.close()
    with hold_exclusively(Layout(root)) as hold:
        assert rebuild(Layout(root), hold).broken == []


def test_a_store_of_revision_0006_has_no_archived_runs(tmp_path: Path) -> None:
    """A run that was deleted then cannot be restored. The others are archived and deleted as new ones."""
    expected = values.loads((FIXTURES / "revision-0006" / "expected.json").read_text(encoding="utf-8"))
    root = copy(tmp_path, "revision-0006/store")
    assert revision(root) == "0006"
    store = open_store(root, create=False)
    assert said(store) == text_of(expected)
    apply_edit(store, make_edit("team", "demo", "kept", {"archived": True, "tags_removed": ["one"]}))
    assert (found(store, {}), found(store, {"archived": True, "tags": "two"})) == ([], ["kept"])
    delete_run(store, "team", "demo", "kept")
    restore_run(store, "team", "demo", "kept")
    store.close()
    with hold_exclusively(Layout(root)) as hold:
        assert rebuild(Layout(root), hold).broken == []
    store = open_store(root, create=False)
    assert found(store, {"archived": True, "tags": {"$ne": "one"}}) == ["kept"]
    with store.reading() as session:
        assert list_deleted(session, "team", "demo").total == 0
    store.close()


def test_keys_of_revision_0008_have_all_rights_and_survive_a_lost_catalog(tmp_path: Path) -> None:
    """The first program that opens the store writes the keys to ``people.json``."""
    expected = values.loads((FIXTURES / "revision-0008" / "expected.json").read_text(encoding="utf-8"))
    root = copy(tmp_path, "revision-0008/store")
    assert revision(root) == "0008"
    store = open_store(root, create=False)
    assert said(store) == text_of(expected)
    with store.reading() as session:
        before = load_people(session)
    secrets = ("local-" + "0a" * 20, "local-" + "1b" * 20)
    assert [before.keys[hash_secret(secret)].created_at for secret in secrets] == [1.7e9, 1.7e9 + 1]
    assert all(before.rights(None, key).is_admin for key in before.keys.values())
    store.close()
    assert len(values.loads((root / "people.json").read_bytes())["keys"]) == 2
    (root / "catalog.db").unlink()
    store = open_store(root, create=False)
    with store.reading() as session:
        assert load_people(session).keys == before.keys
    assert own_key(store) == secrets[0]
    store.close()


def test_filters_find_runs_of_an_older_store(tmp_path: Path) -> None:
    store = open_store(copy(tmp_path), create=False)
    assert found(store, {"config.lr": 0.1}) == ["alpha"]
    assert found(store, {"config.lr": {"$gt": 0.0}}) == ["alpha", "beta"]
    assert found(store, {"config.opt.name": "adam"}) == ["alpha"]
    assert found(store, {"tags": "größe"}) == ["alpha"]
    assert found(store, {"summary_metrics.x": {"$gte": 9}}) == ["beta"]
    apply_all(store, final=True)
    assert found(store, {"config.lr": {"$in": [0.3, 0.4]}}) == ["beta", "gamma"]
    store.close()


def test_journals_of_an_older_store_are_applied_sealed_and_rebuilt(tmp_path: Path) -> None:
    root = copy(tmp_path)
    store = open_store(root, create=False)
    apply_all(store, final=True)
    end_segments(store)
    assert said(store) == text_of(EXPECTED["ended"])
    with store.reading() as session:
        names = session.scalars(select(Segment.segment)).all()
    before = {name: rows_of(store, name) for name in names}
    seal_all(store)
    assert not store.layout.list_journals()
    with store.reading() as session:
        assert session.scalars(select(HotRow.row)).all() == []
        parts = session.scalars(select(Part.segment_id)).all()
        assert len(set(parts)) == len(names)
    assert {name: rows_of(store, name) for name in names} == before
    assert said(store) == text_of(EXPECTED["ended"])
    store.close()
    (root / "catalog.db").unlink()
    with hold_exclusively(store.layout) as hold:
        assert rebuild(store.layout, hold).broken == []
    again = open_store(root, create=False)
    assert said(again) == text_of(EXPECTED["ended"])
    again.close()


def test_an_older_store_is_rebuilt_before_its_journals_are_applied(tmp_path: Path) -> None:
    """The rows in parts of a segment that is not sealed are also in its journal."""
    root = copy(tmp_path)
    open_store(root, create=False).close()
    done = command("rebuild", "--store", str(root), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    store = open_store(root, create=False)
    end_segments(store)
    assert said(store) == text_of(EXPECTED["ended"])
    store.close()


def test_an_older_store_is_rebuilt_without_an_upgrade(tmp_path: Path) -> None:
    root = copy(tmp_path)
    done = command("rebuild", "--store", str(root), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    store = open_store(root, create=False)
    end_segments(store)
    assert said(store) == text_of(EXPECTED["ended"])
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["revision-0001/store", "format-1/sealed"])
def test_the_next_process_completes_a_killed_upgrade(tmp_path: Path, fixture: str) -> None:
    whole = upgrade(copy(tmp_path / "whole", fixture))
    assert whole.returncode == 0, whole.stderr
    statements = int(whole.stdout)
    assert statements > 10
    store = open_store(tmp_path / "whole" / "tracker-store")
    meant = said(store)
    store.close()
    points = [(1 + at * (statements - 1) // 5, "before") for at in range(6)]
    points += [(statements // 2, "after"), (1, "commit"), (statements - 1, "after")]
    for number, (at, when) in enumerate(points):
        root = copy(tmp_path / str(number), fixture)
        killed = upgrade(root, at, when)
        assert killed.returncode == -signal.SIGKILL, (at, when, killed.stderr)
        assert revision(root) in REVISIONS
        store = open_store(root, create=False)
        assert revision(root) == REVISION
        assert said(store) == meant, (at, when)
        with store.reading() as session:
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        store.close()


@pytest.mark.slow
def test_several_processes_upgrade_a_store_once(tmp_path: Path) -> None:
    root = copy(tmp_path)
    code = (
        "import sys; from tracker.recorder.open_store import open_store; "
        "open_store(sys.argv[1], create=False).close()"
    )
    openers = [
        subprocess.Popen([sys.executable, "-c", code, str(root)], env=scripts.environment()) for _ in range(5)
    ]
    assert [opener.wait(timeout=60) for opener in openers] == [0] * 5
    store = open_store(root, create=False)
    assert said(store) == text_of(EXPECTED["opened"])
    store.close()


def test_a_newer_catalog_is_rejected_and_not_changed(tmp_path: Path) -> None:
    root = copy(tmp_path)
    open_store(root, create=False).close()
    catalog = sqlite3.connect(root / "catalog.db")
    catalog.execute("UPDATE alembic_version SET version_num = '9999'")
    catalog.commit()
    catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    catalog.close()
    before = contents(root)
    with pytest.raises(StoreVersionError, match=r"newer tracker \(catalog revision 9999.*upgrade"):
        open_store(root, create=False)
    for arguments in (["server", "--port", "0", "--store", str(root)], ["rebuild", "--store", str(root)]):
        done = command(*arguments, folder=tmp_path)
        assert done.returncode not in (0, -signal.SIGKILL), arguments
        assert "Traceback" not in done.stderr
        assert "revision 9999" in done.stderr, arguments
        assert len(done.stderr.strip().splitlines()) == 1
    assert contents(root) == before
