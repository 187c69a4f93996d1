"""Types of wandb that are not supported. Each one raises an error that names an alternative."""

from __future__ import annotations

from typing import Any

from tracker.errors import UnsupportedError


class WBTraceTree:
    """Not supported: traces of language model calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError("WBTraceTree", "a Table with a row for each call")


class _SavedModel:
    """Not supported: models saved in the file format of their framework."""

    @classmethod
    def init(cls, *args: Any, **kwargs: Any) -> _SavedModel:
        """Raise an error.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError("_SavedModel", "run.log_model with the file that your framework saves")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.init()
