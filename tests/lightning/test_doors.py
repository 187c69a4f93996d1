"""The tests in ``page``, with both ways to import tracker: ``import tracker`` and ``tracker run``.

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

PAGE = Path(__file__).parent / "page"
LINES = [
    f"{file.stem.removeprefix('test_')}: {name}"
    for file in sorted(PAGE.glob("test_*.py"))
    for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)
]
DOORS = {"import tracker": "1", "tracker run": "2"}
# The two differ only in how `wandb` is imported, so one of them is enough for each change.
PARAMETERS = ["import tracker", pytest.param("tracker run", marks=pytest.mark.nightly)]

pytestmark = pytest.mark.lightning


@pytest.fixture(scope="module", params=PARAMETERS)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run the tests in ``page`` and return the failures of each; empty if it passed or was skipped."""
    pytest.importorskip("pytorch_lightning", reason="pip install 'airgap-tracker[lightning]'")
    report = tmp_path_factory.mktemp("page") / "report.xml"
    door = [sys.executable, "-m", "tracker.cli.main", "run"] if DOORS[request.param] == "2" else []
    done = subprocess.run(
        [*door, sys.executable, "-m", "pytest", str(PAGE), "-q", f"--junitxml={report}"],
        cwd=scripts.ROOT,
        env=scripts.environment(DOOR=DOORS[request.param]),
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
