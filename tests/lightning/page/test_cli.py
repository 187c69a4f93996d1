"""``LightningCLI``: the logger comes from the command line, with a ``save_dir``."""

from __future__ import annotations

from pathlib import Path

import pytest
from training import DOOR, of_tracker, run_script

import tracker

LOGGER = "pytorch_lightning.loggers.WandbLogger" if DOOR == "2" else "tracker.lightning.WandbLogger"
SCRIPT = f"""
import os
from pytorch_lightning.cli import LightningCLI
from training import Model, loader, wandb

cli = LightningCLI(
    Model,
    run=False,
    save_config_callback=None,
    args=[
        "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false", "--trainer.num_sanity_val_steps=0",
        "--trainer.logger={LOGGER}", "--trainer.logger.save_dir=logs", "--trainer.logger.project=p",
        "--trainer.logger.id=run",
    ],
)
cli.trainer.fit(cli.model, loader(), loader())
assert os.path.realpath(cli.trainer.logger.experiment.dir).startswith(os.path.realpath("logs"))
wandb.finish()
assert wandb.Api().run("p/run").summary["trainer/global_step"] == 1
"""


@of_tracker
@pytest.mark.parametrize("store", ["tracker-store", "shared"])
def test_the_store_of_a_cli_with_save_dir(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jsonargparse", reason="pip install 'jsonargparse[signatures]'")
    if store == "shared":
        monkeypatch.setenv("TRACKER_STORE", str(tmp_path / store))
    run_script(tmp_path, SCRIPT)
    assert tracker.Api({"store": tmp_path / store}).run("p/run").state == "finished"
    assert list((tmp_path / "logs" / "p" / "run" / "checkpoints").iterdir())
    assert not (tmp_path / "logs" / "tracker-store").exists()
