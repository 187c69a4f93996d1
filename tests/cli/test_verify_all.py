"""Tests of ``tracker verify --all``: it checks every stored file and names each damaged file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from serving import command

import tracker
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import Layout
from tracker.store.recovery.verify import list_items, verify


def make_store(folder: Path) -> Layout:
    for name in ("one", "two"):
        run = tracker.init(project="p", id=name)
        run.log({"x": 1, "table": tracker.Table(columns=["a"], data=[[name]])})
        artifact = tracker.Artifact(f"model-{name}", "model")
        with artifact.new_file("weights", "wb") as file:
            file.write(name.encode() * 200_000)
        run.log_artifact(artifact).wait()
        run.finish()
    assert command("sync", folder=folder).returncode == 0
    return Layout(folder / "tracker-store")


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.mark.slow
def test_each_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    layout = make_store(tmp_path)
    sound = command("verify", "--all", folder=tmp_path)
    assert sound.returncode == 0, sound.stdout
    assert "0 missing or damaged" in sound.stdout
    for kind in ("part", "blob", "published"):
        assert f"{kind}s" in sound.stdout.replace("published files", "publisheds")
    store = open_store(layout.root)
    items = list_items(store)
    store.close()
    part, gone, *_ = (item.path for item in items if item.kind == "part")
    blob = max((item for item in items if item.kind == "blob"), key=lambda item: item.size).path
    published = next(item.path for item in items if item.path.name == "run.json")
    for path in (part, blob):
        damage(path)
    gone.unlink()
    published.write_text("{")
    found = command("verify", "--all", folder=tmp_path)
    assert found.returncode == 1
    assert "4 missing or damaged" in found.stdout
    for path in (part, blob, gone, published):
        assert sum(str(path) in line for line in found.stdout.splitlines()) == 1


def test_a_damaged_journal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "1")
    run = tracker.init(project="p", id="r")
    for value in range(100):
        run.log({"x": value})
    run.finish()
    monkeypatch.delenv("TRACKER_JOURNAL_ONLY")
    layout = Layout(tmp_path / "tracker-store")
    (journal,) = layout.list_journals()
    damage(journal.path)
    open_store(layout.root).close()
    found = command("verify", "--all", folder=tmp_path)
    assert found.returncode == 1
    assert f"{journal.path} is damaged at bytes" in found.stdout


def test_interrupted_verify_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = make_store(tmp_path)
    monkeypatch.setattr("tracker.store.recovery.verify.NOTED_SECONDS", -1.0)
    store = open_store(layout.root)
    items = list_items(store)
    read: list[int] = []

    def advance(size: int) -> None:
        read.append(size)
        if len(read) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(store, items, print, advance)
    place = json.loads(layout.verified_to.read_text())
    assert place == [items[1].kind, str(items[1].path.relative_to(layout.root))]
    rest = verify(store, items, print, lambda _: None)
    assert sum(rest.files.values()) == len(items) - 2
    assert not layout.verified_to.exists()
    again = verify(store, items, print, lambda _: None)
    assert sum(again.files.values()) == len(items)
    store.close()


def test_verify_all_without_a_store_fails(tmp_path: Path) -> None:
    done = command("verify", "--all", folder=tmp_path)
    assert done.returncode == 1
    assert "there is no store at" in done.stderr
