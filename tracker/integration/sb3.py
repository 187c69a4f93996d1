"""Stable-Baselines3: ``from wandb.integration.sb3 import WandbCallback``.

Metrics come from TensorBoard logs. Use ``init(sync_tensorboard=True)`` and
``PPO(..., tensorboard_log=folder)``.
"""

from __future__ import annotations

import os
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from tracker.errors import Error, UsageError
from tracker.ground.terminal import say
from tracker.sdk.process import active_runs

_WHAT = ("gradients", "parameters", "all", None)


class WandbCallback(BaseCallback):  # type: ignore[misc]
    """A callback that logs the algorithm's settings to the config, and saves the model and its gradients.

    Args:
        verbose: Verbosity of the callback; see ``BaseCallback``.
        model_save_path: Folder for ``model.zip``, which is saved to the run; None saves no model.
        model_save_freq: Number of calls between two saves; 0 saves only at the end.
        gradient_save_freq: Number of batches between two logs of gradients of the policy; 0 logs none.
        log: The tensors to log: ``"gradients"``, ``"parameters"``, ``"all"`` or None.

    Raises:
        Error: There is no active run.
        UsageError: ``model_save_freq`` was given without ``model_save_path``.
    """

    def __init__(
        self,
        verbose: int = 0,
        model_save_path: str | None = None,
        model_save_freq: int = 0,
        gradient_save_freq: int = 0,
        log: str | None = "all",
    ) -> None:
        super().__init__(verbose)
        if active_runs.current is None:
            raise Error("You must call wandb.init() before WandbCallback()")
        if model_save_path is None and model_save_freq:
            raise UsageError("model_save_freq has no effect without model_save_path. Give both.")
        if log not in _WHAT:
            say(f"Invalid log {log!r}: 'all' is used. Use 'gradients', 'parameters', 'all' or None.")
            log = "all"
        self.model_save_path = model_save_path
        self.model_save_freq = model_save_freq
        self.gradient_save_freq = gradient_save_freq
        self.log = log
        if model_save_path is not None:
            os.makedirs(model_save_path, exist_ok=True)
            self.path = os.path.join(model_save_path, "model.zip")

    def _init_callback(self) -> None:
        run = _run()
        settings = {"algo": type(self.model).__name__}
        for name, value in vars(self.model).items():
            settings[name] = value if type(value) in (int, float, str) else str(value)
        if self.gradient_save_freq > 0:
            run.watch(self.model.policy, log_freq=self.gradient_save_freq, log=self.log)
        run.config.setdefaults(settings)

    def _on_step(self) -> bool:
        if self.model_save_freq > 0 and self.n_calls % self.model_save_freq == 0:
            self.save_model()
        return True

    def _on_training_end(self) -> None:
        if self.model_save_path is not None:
            self.save_model()

    def save_model(self) -> None:
        """Write ``model.zip`` and save it to the run."""
        self.model.save(self.path)
        _run().save(self.path, base_path=self.model_save_path)


def _run() -> Any:
    if active_runs.current is None:
        raise Error("The run was finished while WandbCallback still used it")
    return active_runs.current
