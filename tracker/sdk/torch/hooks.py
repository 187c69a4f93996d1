"""Hooks on models that may be copied and sent to other processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class Hook(partial):  # type: ignore[type-arg]
    """A call with some arguments given. Its copies, in this process or another, do nothing.

    A model that is watched stays one that ``copy.deepcopy``, ``torch.save`` and ``spawn`` can take: wandb's
    hooks make that fail. Only the model itself is watched, no copy of it.
    """

    def __reduce__(self) -> Any:
        return _make_silent, ()

    def __deepcopy__(self, _memo: Any) -> Callable[..., None]:
        return silent


def silent(*_given: Any) -> None:
    """Do nothing."""


def _make_silent() -> Callable[..., None]:
    return silent
