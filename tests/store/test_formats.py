"""Frozen stores of every earlier format give the same answers as on the day they were made."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from builders import answers, apply_all, as_before, end_segments, seal_all

from tracker.ground.values import dumps, loads
from tracker.journal.format import VERSION
from tracker.reading.catalog_free import find_artifact
from tracker.reading.resume_state import find_run
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import FORMAT_VERSION, Layout, blob_name
from tracker.store.store import Store

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def copy(version: int, name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / f"format-{version}" / name, tmp_path / name))


def said(store: Store) -> str:
    """Return the answers of a store, without fields that were added after the fixtures were made."""
    return dumps(as_before(answers(store)), indent=1, sort_keys=True)


def expected(version: int) -> str:
    text = (FIXTURES / f"format-{version}" / "expected.json").read_text(encoding="utf-8")
    return dumps(as_before(loads(text)), indent=1, sort_keys=True)


def test_every_format_has_a_fixture() -> None:
    assert {path.name for path in FIXTURES.glob("format-*")} == {
        f"format-{version}" for version in range(1, FORMAT_VERSION + 1)
    }
    assert VERSION == 1  # a new journal format needs a fixture too


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
class TestFormat:
    def test_sealed_store(self, version: int, tmp_path: Path) -> None:
        store = open_store(copy(version, "sealed", tmp_path), create=False)
        assert said(store) == expected(version)
        assert apply_all(store, final=True) == 0
        store.close()

    def test_unsealed_store(self, version: int, tmp_path: Path) -> None:
        store = open_store(copy(version, "unsealed", tmp_path), create=False)
        assert answers(store) == {"projects": []}
        apply_all(store, final=True)
        end_segments(store)
        assert said(store) == expected(version)
        seal_all(store)
        assert store.layout.list_journals() == []
        assert said(store) == expected(version)
        store.close()

    @pytest.mark.parametrize("name", ["sealed", "unsealed"])
    def test_without_a_catalog(self, version: int, name: str, tmp_path: Path) -> None:
        layout = Layout(copy(version, name, tmp_path))
        layout.catalog.unlink(missing_ok=True)
        meant = json.loads(expected(version))["team/demo/data:v1"]["detail"]
        found = find_artifact(layout, "team", "demo", "data", "raw")
        assert (found.version, found.digest, found.aliases) == ("v1", meant["digest"], ["latest", "raw"])
        run = find_run(layout, "team", "demo", "alpha")
        assert run is not None
        meant = json.loads(expected(version))["team/demo/alpha"]["run"]
        assert (run.merged.last_step, run.merged.name) == (meant["last_step"], meant["name"])
        assert max(each.attempt for each in run.segments.values()) + 1 == meant["attempts"]

    @pytest.mark.parametrize("name", ["sealed", "unsealed"])
    def test_blobs_are_what_their_names_say(self, version: int, name: str) -> None:
        blobs = [
            path for path in (FIXTURES / f"format-{version}" / name / "blobs").rglob("*") if path.is_file()
        ]
        assert blobs
        for path in blobs:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == blob_name(str(path))
