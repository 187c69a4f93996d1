"""The tests in ``page`` through all doors: ``import tracker``, ``tracker run``, and the real wandb.

All tests run in one process for each way, because the import of PyTorch is slow. Each is reported here under
its name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import scripts
from differential.sides import real_python
from serving import serving

PAGE = Path(__file__).parent / "page"
LINES = [
    f"{file.stem.removeprefix('test_')}: {name}"
    for file in sorted(PAGE.glob("test_*.py"))
    for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)
]
DOORS = {"import tracker": "1", "tracker run": "2", "real wandb": "3"}
# The first two differ only in how `wandb` is imported, so one of them is enough for each change.
PARAMETERS = [
    pytest.param("import tracker", marks=pytest.mark.lightning),
    pytest.param("tracker run", marks=[pytest.mark.lightning, pytest.mark.nightly]),
    pytest.param("real wandb", marks=[pytest.mark.wandb_client, pytest.mark.nightly]),
]
# The file whose tests run through the real wandb for each change. The others are nightly.
OFTEN = "quick_start"


@pytest.fixture(scope="module", params=PARAMETERS)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run the tests in ``page`` and return the failures of each; empty if it passed or was skipped."""
    folder = tmp_path_factory.mktemp("page")
    if request.param == "real wandb":
        return outcome_of_the_real_wandb(folder, str(PAGE))
    pytest.importorskip("pytorch_lightning", reason="pip install 'airgap-tracker[lightning]'")
    door = [sys.executable, "-m", "tracker.cli.main", "run"] if request.param == "tracker run" else []
    return run_page([*door, sys.executable], folder, str(PAGE), DOOR=DOORS[request.param])


def outcome_of_the_real_wandb(folder: Path, *tests: str) -> dict[str, list[str]]:
    """Run tests in ``page`` with the real wandb and a server; return as ``run_page`` does."""
    with serving(folder / "store", key=True) as server:
        address = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key or ""}
        return run_page([real_python()], folder, *tests, DOOR=DOORS["real wandb"], **address)


def run_page(python: list[str], folder: Path, *tests: str, **variables: str) -> dict[str, list[str]]:
    """Run tests in ``page`` with an interpreter and return the failures of each."""
    report = folder / "report.xml"
    done = subprocess.run(
        [*python, "-m", "pytest", *tests, "-q", f"--junitxml={report}"],
        cwd=scripts.ROOT,
        env=scripts.HERE.environment(**variables),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert report.is_file(), f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    failures: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        file = (case.get("classname") or "").rpartition(".")[2].removeprefix("test_")
        name = (case.get("name") or "").partition("[")[0].removeprefix("test_")
        failures.setdefault(f"{file}: {name}", []).extend(
            f"{case.get('name')}: {each.text}" for kind in ("failure", "error") for each in case.iter(kind)
        )
    return failures


@pytest.mark.parametrize("line", LINES)
def test_page(outcome: dict[str, list[str]], line: str) -> None:
    assert line in outcome, "the test did not run"
    assert not outcome[line], "\n\n".join(outcome[line])


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run the tests of ``OFTEN`` with the real wandb."""
    return outcome_of_the_real_wandb(tmp_path_factory.mktemp("often"), str(PAGE / f"test_{OFTEN}.py"))


@pytest.mark.wandb_client
@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(f"{OFTEN}: ")])
def test_first_steps_with_the_real_wandb(quick_start: dict[str, list[str]], line: str) -> None:
    test_page(quick_start, line)
