"""The modules that an import and a run load, and the packages that they need."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import msgspec
import pytest
import scripts

HEAVY = {
    "pyarrow",
    "sqlalchemy",
    "alembic",
    "numpy",
    "torch",
    "PIL",
    "fastapi",
    "starlette",
    "uvicorn",
    "pandas",
}


def loaded_by(code: str, folder: Path) -> set[str]:
    done = scripts.run(f"{code}\nimport sys\nprint(*sys.modules)", folder)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded_by("import tracker", tmp_path) & HEAVY


def test_logging_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import tracker
run = tracker.init(project="p", config={"a": 1})
for at in range(10):
    run.log({"loss": at})
run.finish()
"""
    assert not loaded_by(code, tmp_path) & HEAVY


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there msgspec itself imports typing_extensions")
def test_logging_loads_no_module_that_is_slow_to_import(tmp_path: Path) -> None:
    """These modules cost a large part of the time of ``init``: decision 15."""
    code = """
import tracker
run = tracker.init(project="p")
run.log({"loss": 1})
"""
    assert not loaded_by(code, tmp_path) & {"dataclasses", "inspect", "ast", "dis", "typing_extensions"}


def test_logging_needs_only_msgspec(tmp_path: Path) -> None:
    """The virtual environment contains only msgspec and this package."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    (site / "tracker").symlink_to(scripts.ROOT / "tracker")
    code = """
import tracker
run = tracker.init(project="p", id="bare")
run.log({"loss": 1.5})
artifact = tracker.Artifact("a", "model")
with artifact.new_file("x") as file:
    file.write("hello")
run.log_artifact(artifact)
print(open(run.use_artifact("a:latest").download() + "/x").read())
print(run.summary["loss"])
run.finish()
print(tracker.Api().run("p/bare").summary["loss"])
try:
    tracker.Api().runs("p")[0]
except tracker.Error as error:
    print(error)
try:
    tracker.Api().artifact("p/a:latest").linked_artifacts
except tracker.Error as error:
    print(error)
"""
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr
    hello, loss, read_back, *refusals = done.stdout.splitlines()
    assert (hello, loss, read_back) == ("hello", "1.5", "1.5")
    assert ["pip install airgap-tracker" in line for line in refusals] == [True, True]
    assert sum("no recorder can apply them here" in line for line in done.stderr.splitlines()) == 1
    # A process with all packages installed applies the journal.
    import tracker

    assert tracker.Api().run("p/bare").summary["loss"] == 1.5


def test_import_loads_the_standard_library_only(tmp_path: Path) -> None:
    """The encoder is not loaded either. benchmarks/ measures the time of ``import tracker``."""
    added = loaded_by("import tracker", tmp_path) - loaded_by("", tmp_path)
    assert added - set(sys.stdlib_module_names) == {"tracker"}
