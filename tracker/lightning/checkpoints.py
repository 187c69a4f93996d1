"""Artifacts of the checkpoints that a Lightning callback wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tracker.artifacts.artifact import Artifact

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import ModelCheckpoint

# Settings of the callback in the metadata of each version, as in Lightning's own logger.
_SETTINGS = ("monitor", "mode", "save_last", "save_top_k", "save_weights_only", "_every_n_train_steps")


def artifacts_of(
    callback: ModelCheckpoint,
    logged_at: dict[str, float],
    name: str,
    policy: Literal["mutable", "immutable"],
) -> Iterator[tuple[Artifact, list[str]]]:
    """Yield an artifact and its aliases for each checkpoint that was not logged yet, oldest first.

    Args:
        callback: A ``ModelCheckpoint``, or an object with the same attributes.
        logged_at: Modification time of each logged checkpoint by path. The function updates it.
        name: Name of the artifacts.
        policy: ``policy`` of ``Artifact.add_file``.
    """
    for saved_at, path, score in _new_checkpoints(callback, logged_at):
        settings = {key: getattr(callback, key) for key in _SETTINGS if hasattr(callback, key)}
        artifact = Artifact(
            name,
            type="model",
            metadata={
                "score": score,
                "original_filename": Path(path).name,
                callback.__class__.__name__: settings,  # Lightning passes a proxy whose type() differs
            },
        )
        artifact.add_file(path, name="model.ckpt", policy=policy)
        best = ["best", *_best_of_monitor(callback)] if path == callback.best_model_path else []
        yield artifact, ["latest", *best]
        logged_at[path] = saved_at


def _best_of_monitor(callback: ModelCheckpoint) -> list[str]:
    """Return the alias ``best-METRIC`` for the monitored metric, because all callbacks share ``best``."""
    monitor = getattr(callback, "monitor", None)
    return [f"best-{monitor.replace('/', '_').replace(':', '_')}"] if monitor else []


def _new_checkpoints(
    callback: ModelCheckpoint, logged_at: dict[str, float]
) -> list[tuple[float, str, float | None]]:
    """Return time, path and score of the checkpoint files that were not logged yet, oldest first."""
    scores: dict[str, Any] = {
        callback.last_model_path: callback.current_score,
        callback.best_model_path: callback.best_model_score,
        **callback.best_k_models,
    }
    found = []
    for path, score in scores.items():
        if (
            path
            and Path(path).is_file()
            and logged_at.get(path, 0.0) < (saved_at := Path(path).stat().st_mtime)
        ):
            found.append((saved_at, path, score.item() if hasattr(score, "item") else score))
    return sorted(found, key=lambda checkpoint: checkpoint[:2])
