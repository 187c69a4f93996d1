"""What media types have in common: they become a file of the run and a dict in its history."""

from __future__ import annotations

from typing import Any, Protocol


class FileSink(Protocol):
    """Takes files of a run: its bytes are safe, and recorded, when ``save_file`` returns."""

    def save_file(self, path: str, data: bytes, mimetype: str) -> str:
        """Store ``data`` as the run's file ``path``; return its SHA-256."""


class Media:
    """A value that is logged as a file."""

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """Store the file and return what stands in the history row.

        Args:
            sink: The run.
            key: History key; becomes part of the file's name.
            step: The row's step, likewise; ``"summary"`` for what stands in the summary.
        """
        raise NotImplementedError


def file_name(folder: str, key: str, step: int | str, digest: str, extension: str) -> str:
    """Return a media file's path in the run, as wandb names it: ``media/FOLDER/KEY_STEP_HASH20.EXT``."""
    safe = "".join(c if c.isalnum() or c in "-_./ " else "_" for c in key).strip("/")
    parts = [part for part in safe.split("/") if part not in ("", ".", "..")]
    return f"media/{folder}/{'/'.join(parts) or '_'}_{step}_{digest[:20]}.{extension}"
