"""The tutorial's scripts run, in its order, in one folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import scripts

TUTORIAL = scripts.ROOT / "docs" / "tutorial"


def code(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (TUTORIAL / page).read_text(), re.DOTALL)


def test_a_first_run_is_logged_and_read(tmp_path: Path) -> None:
    first, read = code("first-run.md")
    scripts.run(first, tmp_path)
    lines = scripts.run(read, tmp_path).stdout.splitlines()
    assert len(lines) == 2
    assert " finished " in lines[0]
    assert lines[1].count("train/loss") == 3


def test_a_sweep_names_its_best_run(tmp_path: Path) -> None:
    (sweep,) = code("sweep.md")
    last = scripts.run(sweep, tmp_path).stdout.splitlines()[-1]
    assert re.fullmatch(r"[\w-]+ 0\.\d+ [\d.e-]+", last), last


@pytest.mark.lightning
def test_a_checkpoint_of_lightning_is_loaded_by_alias(tmp_path: Path) -> None:
    (train,), (load,) = code("lightning.md"), code("checkpoint.md")
    scripts.run(train, tmp_path)
    last = scripts.run(load, tmp_path).stdout.splitlines()[-1]
    assert re.fullmatch(r"model-\w{8}:v\d+ \d+ \d\.\d+", last), last
