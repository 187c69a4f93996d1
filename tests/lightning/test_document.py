"""The code in docs/lightning.md works as described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import scripts

import tracker

TEXT = (scripts.ROOT / "docs" / "lightning.md").read_text()


@pytest.mark.lightning
def test_the_code_of_the_document_runs(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning", reason="pip install 'airgap-tracker[lightning]'")
    scripts.run("\n".join(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)), tmp_path)
    (run,) = tracker.Api().runs("digits")
    assert run.state == "finished"
    assert run.config == {"lr": 0.1, "batch_size": 4}
    rows = run.history(pandas=False)
    assert [row["trainer/global_step"] for row in rows if "train_loss" in row] == list(range(12))
    assert {key for row in rows for key in row} >= {"samples", "words", "table", "gradients/layer.weight"}
    assert run.summary["val_accuracy"].keys() == {"max"}
    assert run.summary["graph_0"]["_type"] == "graph-file"
