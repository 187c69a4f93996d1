"""Bad input gets one clear line that says what to do, and nothing already written is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripts

import tracker


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"project": "a/b"}, r"Invalid project name 'a/b': cannot contain /"),
        ({"project": "a" * 129}, "129 characters, at most 128"),
        ({"project": " "}, "it is empty"),
        ({"entity": "a:b"}, "Invalid entity name"),
        ({"id": ""}, "Run ID cannot be empty"),
        ({"id": "a/b"}, "Invalid run ID 'a/b': it may not contain /"),
        ({"mode": "sometimes"}, "mode is 'sometimes'"),
        ({"resume": "perhaps"}, "resume is 'perhaps'"),
        ({"reinit": "maybe"}, "reinit is 'maybe'"),
        ({"settings": {"colour": "red"}}, "there is no setting .colour."),
    ],
)
def test_init_refuses(arguments: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(tracker.UsageError, match=says):
        tracker.init(**arguments)
    assert not list(tmp_path.rglob("*.journal"))


def test_init_refuses_a_config_that_is_none() -> None:
    with pytest.raises(TypeError, match="config must be a dict"):
        tracker.init(project="p", config=[1])


def test_log_refuses_and_keeps_the_rest() -> None:
    run = tracker.init(project="p")
    run.log({"good": 1})
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        run.log({"good": 2, "bad": object()})
    with pytest.raises(TypeError, match="must be strings"):
        run.log({1: 2})
    with pytest.raises(TypeError, match="must be passed a dictionary"):
        run.log([1])
    with pytest.raises(TypeError, match="step must be a whole number"):
        run.log({"a": 1}, step="three")
    with pytest.raises(tracker.Error, match="summary op: bogus"):
        run.define_metric("a", summary="bogus")
    with pytest.raises(ValueError, match="Un-supported shape for image conversion"):
        run.log({"image": tracker.Image([[[1, 2]]])})
    with pytest.raises(ValueError, match="expects 2 columns"):
        tracker.Table(columns=["a", "b"], data=[[1]])
    run.log({"good": 3})
    run.finish()
    assert [row["good"] for row in tracker.Api().run(run.path).history(pandas=False)] == [1, 3]


def test_a_store_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    root = tmp_path / "tracker-store"
    root.mkdir()
    (root / "store.json").write_text('{"format": 99}')
    with pytest.raises(tracker.Error, match="has format 99, this tracker reads up to 1: upgrade"):
        tracker.init(project="p")
    assert [path.name for path in root.iterdir()] == ["store.json"]


def test_api_without_a_store_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(tracker.Error, match=f"there is no store at {tmp_path}/tracker-store"):
        tracker.Api()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tracker-store").write_text("a file is in the way")
    with pytest.raises(tracker.Error, match="cannot"):
        tracker.init(project="p")


def test_a_full_disk_neither_stops_training_nor_loses_what_was_written(small_disk: Path) -> None:
    code = """
import sys, tracker
run = tracker.init(project="p", id="full", settings={"fsync_seconds": 0.1})
for at in range(4000):
    run.log({"x": at, "text": "y" * 1000})
print("logged", flush=True)
sys.stdin.readline()  # the test makes room
run.log({"x": 4000})
run.finish()
"""
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 14 * 1024 * 1024)
    process = scripts.start(code, small_disk, TRACKER_JOURNAL_ONLY="1")
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    filler.unlink()
    _, err = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0, err
    lines = [line for line in err.splitlines() if "cannot write" in line]
    assert len(lines) == 1
    assert "No space left on device" in lines[0] or "disk full?" in lines[0]  # a short write comes first
    assert "works again" in err
    rows = tracker.Api({"dir": str(small_disk)}).run("p/full").history(pandas=False)
    assert [row["x"] for row in rows] == list(range(4001))


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 16 MB that can be full."""
    import os
    import subprocess

    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
