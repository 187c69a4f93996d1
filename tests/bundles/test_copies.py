"""``tracker cp``, ``mv`` and ``merge``: runs and their artifacts between stores, servers and projects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import PROJECT, START, Writer, log_every_kind
from serving import Server, command, serving
from store_contents import assert_same, content_of, wait_until_sealed

from tracker.cli.main import main
from tracker.ground.records import ArtifactChanged
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.ingest.artifact_edits import change_artifact
from tracker.store.ingest.collections import change_collection
from tracker.store.ingest.documents import create_document, update_document
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.objects.layout import Layout
from tracker.store.published.documents import list_documents, read_document
from tracker.store.queries import artifacts, runs
from tracker.store.store import Store

FILES = {"notes.txt": b"some notes", "more/other.txt": b"other"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = open_store(tmp_path / "A")
    log_every_kind(store, "run1", "run2", files=FILES)
    Follower(store).poll()
    store.close()
    return tmp_path / "A"


def call(*arguments: str | Path) -> None:
    main([str(each) for each in arguments])


def refused(*arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert isinstance(ended.value.code, str)
    return ended.value.code


@pytest.mark.slow
def test_cp_copies_a_project_to_a_folder_after_a_dry_run(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("cp", "--store", root, "-p", f"team/{PROJECT}", tmp_path / "B")
    call(*given, "--dry-run")
    assert f"team/{PROJECT}/run1: would be copied" in capsys.readouterr().out
    assert not (tmp_path / "B").exists()
    before = content_of(root)
    call(*given, "--json")
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["copied"]) == [f"team/{PROJECT}/run1", f"team/{PROJECT}/run2"]
    assert_same(content_of(tmp_path / "B"), before)
    assert_same(content_of(root), before)
    call(*given, "--dry-run")
    assert "0 runs to copy, 2 already there" in capsys.readouterr().out


@pytest.mark.slow
def test_a_host_that_only_sees_the_folder_copies_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(Layout(root), "dd" * 16, "run3", start=START + 500)
    writer.log({"loss": 3})
    writer.file("notes.txt", b"other notes")
    writer.artifact("model", {"weights": b"3"})
    writer.finish()
    Writer(Layout(root), "ee" * 16, "live", start=START + 600).log({"loss": 4})
    monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "1")
    before = state_of(root)
    call("bundle", "create", "--store", root, "-e", "team", "--since-last", "-o", tmp_path / "bundle")
    assert "live has not ended: the next bundle will have the rest" in capsys.readouterr().err
    call("bundle", "create", "--store", root, "-e", "team", "--since-last", "-o", tmp_path / "second")
    assert "Nothing new" in capsys.readouterr().out
    place = ("--store", root, "-p", f"team/{PROJECT}", "-q", "state:finished")
    call("cp", *place, tmp_path / "B")
    assert "another host keeps its catalog" in refused("mv", *place, tmp_path / "C")
    assert not (tmp_path / "C").exists()
    with serving(tmp_path / "server-store", key=True) as server:
        monkeypatch.setenv("TRACKER_API_KEY", server.key or "")
        call("cp", *place, server.url)
        wait_until_sealed(server.store)
    assert state_of(root) == before

    monkeypatch.delenv("TRACKER_JOURNAL_ONLY")
    call("bundle", "import", "--store", tmp_path / "D", tmp_path / "bundle")
    store = open_store(root)
    Follower(store).poll()
    store.close()
    expected = content_of(root)
    del expected[f"team/{PROJECT}/live"]
    for copy in (tmp_path / "B", server.store, tmp_path / "D"):
        assert_same(content_of(copy), expected)


def test_a_part_that_the_owner_removes_during_a_copy_is_named_in_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(root.rglob("history/*.parquet")).unlink()
    for module in ("tracker.reading.open_reader", "tracker.recorder.open_store"):
        monkeypatch.setattr(f"{module}.is_read_only", lambda layout: layout.root == root)
    message = refused("cp", "--store", root, "-p", f"team/{PROJECT}", tmp_path / "B")
    assert "is gone: if the store changed during the copy, repeat the command" in message


def state_of(root: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in root.rglob("*")}


@pytest.mark.slow
def test_mv_deletes_only_what_was_copied_and_no_other_run_uses(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content_of(root)
    call("mv", "--store", root, "-e", "team", "run1", tmp_path / "B")
    out = capsys.readouterr().out
    assert f"tracker rm --undo team/{PROJECT}/run1" in out
    assert "its artifacts stay here too, because other runs use them" in out  # run2 uses one
    assert f"team/{PROJECT}/run1" in content_of(tmp_path / "B")
    assert f"team/{PROJECT}/run1" not in content_of(root)
    assert f"team/{PROJECT}/model/v1" in content_of(root)
    call("rm", "--store", root, "--undo", f"team/{PROJECT}/run1")
    assert sorted(content_of(root)) == sorted(before)
    # The copy of the other run makes the target complete. Nothing else uses the artifacts then.
    call("mv", "--store", root, "-p", f"team/{PROJECT}", tmp_path / "B")
    assert content_of(root) == {}
    assert sorted(content_of(tmp_path / "B")) == sorted(before)


@pytest.mark.slow
def test_mv_deletes_nothing_if_the_copy_is_not_complete(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_store(tmp_path / "B")
    Writer(other.layout, "dd" * 16, "run1").finish()
    Follower(other).poll()
    other.close()
    with pytest.raises(SystemExit):
        call("mv", "--store", root, "-e", "team", "run1", tmp_path / "B")
    assert "Nothing was deleted here" in capsys.readouterr().err
    # A content of the copy is damaged on the disk of the target.
    from tracker.bundles import receive

    def damage(source: Any, store: Store) -> None:
        done(source, store)
        for path in (store.root / "blobs").rglob("*"):
            if path.is_file():
                path.write_bytes(b"damaged" + path.read_bytes()[7:])

    done = receive._store_contents
    monkeypatch.setattr(receive, "_check_entries", lambda *_: None)
    monkeypatch.setattr(receive, "_store_contents", damage)
    with pytest.raises(SystemExit):
        call("mv", "--store", root, "-e", "team", "run1", tmp_path / "C")
    assert f"team/{PROJECT}/run1" in content_of(root)


def test_mv_to_a_project_of_the_same_store_moves_the_run(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("mv", "--store", root, "-e", "team", "run2", "other")
    call(*given, "--dry-run")
    assert f"team/{PROJECT}/run2: would be moved to team/other" in capsys.readouterr().out
    call(*given)
    assert "team/other/run2" in content_of(root)
    assert f"team/{PROJECT}/run2" not in content_of(root)
    message = refused("cp", "--store", root, "-e", "team", "run1", "other")
    assert "neither a store nor a server" in message
    assert "is the store that has these runs" in refused("cp", "--store", root, "-e", "team", "run1", root)


def _serve_command(root: Path, server: Server, *arguments: str | Path, local: bool = True) -> str:
    place = ("--store", str(root)) if local else ()
    settings = {"TRACKER_API_KEY": server.key or ""}
    if not local:
        settings |= {"TRACKER_BASE_URL": server.url, "TRACKER_MODE": "online"}
    done = command(*map(str, arguments), *place, folder=root.parent, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.slow
def test_runs_go_to_a_server_and_come_back(root: Path, tmp_path: Path) -> None:
    before = content_of(root)
    with serving(tmp_path / "server-store", key=True) as server:
        project = ("-p", f"team/{PROJECT}")
        out = _serve_command(root, server, "cp", *project, server.url, "--dry-run")
        assert f"team/{PROJECT}/run1: would be sent" in out
        _serve_command(root, server, "mv", *project, server.url)
        assert content_of(root) == {}
        wait_until_sealed(server.store)
        assert_same(content_of(server.store), before)
        out = _serve_command(root, server, "mv", *project, tmp_path / "B", local=False)
        assert f"team/{PROJECT}/run1: copied" in out
        assert_same(content_of(tmp_path / "B"), before)
        assert content_of(server.store) == {}


def _fill_both(root: Path, other: Path) -> tuple[Store, Store]:
    """Return two stores. The second one has a run of its own, and other versions of the artifact."""
    source, store = open_store(root), open_store(other)
    writer = Writer(store.layout, "dd" * 16, "own", start=START + 5000)
    writer.artifact("model", {"weights": b"1"}, ["latest"])
    writer.artifact("model", {"weights": b"9"}, ["latest", "prod"])
    writer.finish()
    Follower(store).poll()
    return source, store


def test_merge_renames_taken_numbers_and_the_newest_edit_wins(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, store = _fill_both(root, tmp_path / "B")
    place = ("team", PROJECT)
    change_collection(source, *place, "model", {"description": "older"})
    change_collection(store, *place, "model", {"description": "newer"})
    create_document(source, *place, "views", "a view", {"x": 1})
    create_document(source, *place, "notes", "notes", "from A")
    notes = create_document(store, *place, "notes", "notes", "from B")
    update_document(store, *place, "notes", notes.id, notes.version, content="from B, later")
    apply_edit(source, make_edit(*place, "run1", {"notes": "an edit", "tags": ["x"]}))
    source.close()
    store.close()
    call("merge", root, "--into", tmp_path / "B")
    out = capsys.readouterr().out
    assert f"team/{PROJECT}/run1: would be copied" in out
    assert f"team/{PROJECT}/model:v1: becomes v2, which is new, with the alias A-v1" in out
    assert f"team/{PROJECT}: views 'a view' would be copied" in out
    assert "Nothing was changed. Add --apply to do this." in out
    assert f"team/{PROJECT}/run1" not in content_of(tmp_path / "B")
    call("merge", root, "--into", tmp_path / "B", "--apply")
    out = capsys.readouterr().out
    assert f"team/{PROJECT}/run1: copied" in out
    store = open_store(tmp_path / "B", create=False)
    with store.reading() as session:
        assert runs.run_detail(session, *place, "run1").notes == "an edit"
        found = {
            each.version: sorted(artifacts.artifact_detail(session, *place, "model", each.version).aliases)
            for each in artifacts.list_artifacts(session, *place)
        }
        described = artifacts.list_collections(session, *place, "dataset")[0].description
    assert found == {"v0": ["first"], "v1": ["latest", "prod"], "v2": ["A-v1", "best"]}
    assert described == "newer"
    assert [each.name for each in list_documents(store.layout, *place, "views")] == ["a view"]
    assert read_document(store.layout, *place, "notes", notes.id).content == "from B, later"
    store.close()
    call("merge", root, "--into", tmp_path / "B", "--apply")
    assert "0 runs copied, 2 already there" in capsys.readouterr().out


@pytest.mark.slow
def test_later_edits_of_artifacts_cross_too(root: Path, tmp_path: Path) -> None:
    place = ("team", PROJECT)
    open_store(tmp_path / "B").close()
    call("merge", root, "--into", tmp_path / "B", "--apply")
    source = open_store(root)
    with source.reading() as session:
        digest = artifacts.artifact_detail(session, *place, "model", "v0").digest
    change = ArtifactChanged(
        *place, "model", 0, digest, START + 9000, ["prod"], values={"description": "good"}
    )
    change_artifact(source, change)
    source.close()
    call("merge", root, "--into", tmp_path / "B", "--apply")
    store = open_store(tmp_path / "B")
    with store.reading() as session:
        found = artifacts.artifact_detail(session, *place, "model", "v0")
    assert (found.description, sorted(found.aliases)) == ("good", ["first", "prod"])
    store.close()


@pytest.mark.slow
def test_a_run_that_was_sent_keeps_its_files_when_it_is_sent_again(root: Path, tmp_path: Path) -> None:
    before = content_of(root)
    with serving(tmp_path / "first", key=True) as server:
        _serve_command(root, server, "sync", "--to", server.url)
        wait_until_sealed(server.store)
    with serving(tmp_path / "second", key=True) as server:
        _serve_command(tmp_path / "first", server, "sync", "--to", server.url)
        wait_until_sealed(server.store)
        assert_same(content_of(server.store), before)


@pytest.mark.slow
def test_runs_go_from_one_server_to_another(root: Path, tmp_path: Path) -> None:
    before = content_of(root)
    with serving(tmp_path / "first", key=True) as first, serving(tmp_path / "second", key=False) as second:
        project = ("-p", f"team/{PROJECT}")
        _serve_command(root, first, "cp", *project, first.url)
        wait_until_sealed(first.store)
        _serve_command(root, first, "mv", *project, second.url, local=False)
        wait_until_sealed(second.store)
        assert_same(content_of(second.store), before)
        assert content_of(first.store) == {}
