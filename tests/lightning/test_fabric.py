"""The logger for Lightning Fabric, under its wandb path."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tracker as wandb

pytestmark = pytest.mark.usefixtures("without_recorder")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("lightning", reason="pip install 'airgap-tracker[lightning]'")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logger_class() -> Any:
    from tracker.integration.lightning.fabric import WandbLogger

    return WandbLogger


def test_fabric_logs_to_the_history_of_the_run() -> None:
    import lightning  # not when all workers collect the tests: it takes two seconds

    fabric = lightning.Fabric(accelerator="cpu", loggers=logger_class()())
    fabric.launch()
    fabric.log("loss", 0.5, step=3)
    fabric.log_dict({"loss": 0.25, "lr": 0.1}, step=4)
    fabric.logger.log_html("page", ["<b>one</b>", "<b>two</b>"], step=5, inject=[True, False])
    with pytest.raises(ValueError, match="Expected 1 items but only found 2 for inject"):
        fabric.logger.log_html("page", ["<b>one</b>"], inject=[True, False])
    fabric.logger.finalize("success")
    path = fabric.logger.experiment.path
    wandb.finish()
    assert path.split("/")[1] == "lightning_fabric_logs"
    rows = wandb.Api().run(path).history(pandas=False)
    assert [(row["trainer/global_step"], row.get("loss"), row.get("lr")) for row in rows] == [
        (3, 0.5, None),
        (4, 0.25, 0.1),
        (5, None, None),
    ]
    assert rows[2]["page"]["count"] == 2


@pytest.mark.parametrize(
    ("when", "status", "logged"),
    [("success", "failed", False), ("success", "success", True), ("all", "failed", True)],
)
def test_checkpoints_are_logged_at_the_end(folder: Path, when: str, status: str, logged: bool) -> None:
    logger = logger_class()(log_model=True, log_checkpoint_on=when)
    run_id = logger.experiment.id
    checkpoint = folder / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    callback = SimpleNamespace(
        save_top_k=1,
        last_model_path="",
        current_score=None,
        best_model_path=str(checkpoint),
        best_model_score=0.5,
        best_k_models={str(checkpoint): 0.5},
    )
    logger.after_save_checkpoint(callback)
    logger.finalize(status)
    wandb.finish()
    names = [
        artifact.name for artifact in wandb.Api().run(f"lightning_fabric_logs/{run_id}").logged_artifacts()
    ]
    assert names == ([f"model-{run_id}:v0"] if logged else [])
