"""Types of wandb that are not here: each says so, and what works instead."""

from __future__ import annotations

from typing import Any

from tracker.errors import UnsupportedError


class WBTraceTree:
    """Not there: traces of language model calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError("WBTraceTree", "a Table with a row for each call")


class _SavedModel:
    """Not there: models of a framework that wandb saves by itself."""

    @classmethod
    def init(cls, *args: Any, **kwargs: Any) -> _SavedModel:
        """Say so."""
        raise UnsupportedError("_SavedModel", "run.log_model with the file that your framework saves")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.init()
