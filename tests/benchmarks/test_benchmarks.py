"""Tests of the benchmarks: each one runs at a tiny scale and writes its results. No time is asserted."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

from benchmarks import mounts, wandb_door
from benchmarks.__main__ import BENCHMARKS

pytestmark = pytest.mark.nightly

TINY = {
    "rows": 300,
    "wide-rows": 10,
    "repeats": 2,
    "lightning-steps": 20,
    "series-steps": 2_000,
    "long-steps": 20_000,
    "short-steps": 2_000,
    "names": 100,
    "writers": 3,
    "artifact-mb": 2,
    "files": 300,
    "download-mb": 40,
    "export-rows": 20_000,
    "apply-values": 3_000,
    "import-mb": 1,
    "import-steps": 100,
    "chart-runs": 2,
    "chart-keys": 2,
    "curve-runs": 3,
    "requests": 400,
    "load-seconds": 3,
    "dashboard-percent": 1,
    "watch-seconds": 10,
    "idle-journals": 120,
    "idle-seconds": 2,
}
FIELDS = {"figure", "unit", "ours", "against", "other", "ratio", "target", "met", "note"}
NEEDS = {"log": "orjson", "log-wide": "orjson", "lightning": "pytorch_lightning"}
# Their stores have 10,000 runs at every scale. Other tests cover the lists themselves.
FIXED = {"runs-query", "run-pages"}


def benchmark(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=folder,
        env=scripts.environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.browser] if name == "dashboard" else [])
        for name in sorted(set(BENCHMARKS) - FIXED)
    ],
)
def test_benchmark_writes_its_figures(name: str, tmp_path: Path) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    if name == "log-network" and (why := mounts.missing()):
        pytest.skip(why)
    if name == "wandb" and not wandb_door.PYTHON.is_file():
        pytest.skip(f"needs {wandb_door.PYTHON}")
    sizes = [text for option, value in TINY.items() for text in (f"--{option}", value)]
    results = tmp_path / "results"
    # Use the disk of the project: the temporary folder may be in memory, where no file can be evicted.
    work = scripts.ROOT / "benchmarks" / "results"
    work.mkdir(exist_ok=True)
    done = benchmark("--only", name, "--results", results, "--work", work, *sizes, folder=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "failed" not in done.stdout, done.stderr
    described = json.loads((results / f"{name}.json").read_text())
    assert {"benchmark", "measured_at", "machine", "figures", "details"} <= set(described)
    assert described["benchmark"] == name
    assert described["figures"]
    for figure in described["figures"]:
        assert set(figure) == FIELDS
        assert figure["ours"] > 0
        assert figure["figure"] in done.stdout
        # A missing peer is reported as absent, never estimated, and then no target is met or missed.
        if figure["note"].endswith("nothing to compare with"):
            assert (figure["other"], figure["ratio"], figure["met"]) == (None, None, None)
        elif figure["target"]:
            assert figure["met"] in (True, False)
    if "scale" in described["details"]:
        assert name in json.loads((results / "scale.json").read_text())


def test_all_benchmarks_are_in_the_readme() -> None:
    text = (scripts.ROOT / "benchmarks" / "README.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == set(BENCHMARKS)


def test_unknown_name_lists_all_benchmarks(tmp_path: Path) -> None:
    done = benchmark("--only", "nothing", folder=tmp_path)
    assert done.returncode == 2
    assert "log-wide" in done.stderr
