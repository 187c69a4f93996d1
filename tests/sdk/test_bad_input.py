"""Invalid input causes one clear error line, and no row that was written is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripts

import tracker

pytestmark = pytest.mark.usefixtures("without_recorder")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"project": "a/b"}, r"Invalid project name 'a/b': cannot contain /"),
        ({"project": "a" * 129}, "129 characters, at most 128"),
        ({"project": " "}, "it is empty"),
        ({"entity": "a:b"}, "Invalid entity name"),
        ({"id": ""}, "Run ID cannot be empty"),
        ({"id": "a/b"}, "Invalid run ID 'a/b': it may not contain /"),
        ({"id": "a\ud800"}, "it may not contain control characters or lone surrogates"),
        ({"mode": "sometimes"}, "Invalid mode 'sometimes'"),
        ({"resume": "perhaps"}, "Invalid resume 'perhaps'"),
        ({"reinit": "maybe"}, "Invalid reinit 'maybe'"),
        ({"settings": {"colour": "red"}}, "Unknown setting 'colour'"),
    ],
)
def test_init_refuses_invalid_arguments(arguments: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(tracker.UsageError, match=says):
        tracker.init(**arguments)
    assert not list(tmp_path.rglob("*.journal"))


def test_init_refuses_a_config_that_is_not_a_dict() -> None:
    with pytest.raises(TypeError, match="config must be a dict"):
        tracker.init(project="p", config=[1])


def test_log_refuses_invalid_values_and_keeps_valid_rows() -> None:
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


def test_a_store_of_a_newer_version_is_refused_and_not_changed(tmp_path: Path) -> None:
    root = tmp_path / "tracker-store"
    root.mkdir()
    (root / "store.json").write_text('{"format": 99}')
    with pytest.raises(tracker.Error, match="has format 99, this tracker reads up to 2: upgrade"):
        tracker.init(project="p")
    assert [path.name for path in root.iterdir()] == ["store.json"]


def test_api_without_a_store_names_the_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(tracker.Error, match=f"there is no store at {tmp_path}/tracker-store"):
        tracker.Api()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_neither_stops_training_nor_loses_what_was_written(small_disk: Path) -> None:
    code = """
import sys, tracker
run = tracker.init(project="p", id="full", settings={"fsync_seconds": 0.1})
for at in range(4000):
    run.log({"x": at, "text": "y" * 1000})
print("logged", flush=True)
sys.stdin.readline()  # wait until the test has freed space
run.log({"x": 4000})
run.finish()
"""
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 14 * 1024 * 1024)
    process = scripts.start(code, small_disk, TRACKER_JOURNAL_ONLY="1")
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    filler.unlink()
    _, err = process.communicate("continue\n", timeout=60)
    assert process.returncode == 0, err
    lines = [line for line in err.splitlines() if "cannot write" in line]
    assert len(lines) == 1
    # The first error may be a short write.
    assert "No space left on device" in lines[0] or "disk full?" in lines[0]
    assert "works again" in err
    rows = tracker.Api({"store": small_disk / "tracker-store"}).run("p/full").history(pandas=False)
    assert [row["x"] for row in rows] == list(range(4001))


@pytest.fixture
def small_disk(tmp_path: Path):
    """Mount a file system of 16 MB that a test can fill."""
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


def test_unusual_numbers_are_kept_as_numbers_or_text() -> None:
    import numpy as np

    values = {
        "long": np.longdouble("1.5"),
        "beyond": np.longdouble("1e4000"),
        "longs": np.arange(3, dtype=np.longdouble),
        "complex": np.clongdouble(1 + 2j),
        "digits": 10**5000,
        "zero_dimensional": np.array(2.5, dtype=np.longdouble),
    }
    run = tracker.init(project="p", id="odd", config={"digits": 10**5000, "long": np.longdouble("0.5")})
    for key, value in values.items():
        run.log({key: value})
    run.finish()
    found = tracker.Api().run("p/odd")
    rows = found.history(pandas=False)
    kept = {key: value for row in rows for key, value in row.items() if key in values}
    assert kept == {
        "long": 1.5,
        "beyond": "1e+4000",
        "longs": [0.0, 1.0, 2.0],
        "complex": "1+2j",
        "digits": hex(10**5000),
        "zero_dimensional": 2.5,
    }
    assert found.config == {"digits": hex(10**5000), "long": 0.5}


def circle() -> dict[str, object]:
    made: dict[str, object] = {"a": 1}
    made["self"] = made
    return made


def deep(levels: int) -> dict[str, object]:
    made: dict[str, object] = {"end": 1}
    for _ in range(levels):
        made = {"a": made}
    return made


@pytest.mark.parametrize("value", [circle(), deep(400), [[deep(99)]]], ids=["circle", "deep", "in a list"])
def test_circular_and_deeply_nested_values_are_refused(value: object) -> None:
    run = tracker.init(project="p", id="deep")
    for call in (
        lambda: run.log({"x": value}),
        lambda: run.config.update({"x": value}),
        lambda: run.summary.update({"x": value}),
    ):
        with pytest.raises(TypeError, match="contains itself, or is nested more than 100 levels deep"):
            call()
    run.log({"after": 1, "fits": deep(90)})
    run.finish()
    (row,) = tracker.Api().run("p/deep").history(pandas=False)
    assert row["after"] == 1
    assert row["fits"] == deep(90)


@pytest.mark.parametrize("step", [2**63, 2**64 - 1, -(2**63) - 1])
def test_a_step_beyond_64_bits_is_refused_at_the_call(step: int) -> None:
    run = tracker.init(project="p", id="step")
    with pytest.raises(ValueError, match="step must fit into 64 bits"):
        run.log({"x": 1}, step=step)
    run.log({"x": 2})
    run.finish()
    assert [row["x"] for row in tracker.Api().run("p/step").history(pandas=False)] == [2]
