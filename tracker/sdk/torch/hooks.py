"""Hooks for models that may be copied or sent to other processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class Hook(partial):  # type: ignore[type-arg]
    """A function with some arguments given. Copies of it, in this process or another, do nothing.

    Therefore ``copy.deepcopy``, ``torch.save`` and ``spawn`` work with a watched model. With wandb's hooks
    they fail. Only the model itself is watched, not its copies.
    """

    def __reduce__(self) -> Any:
        return _make_silent, ()

    def __deepcopy__(self, _memo: Any) -> Callable[..., None]:
        return silent


def silent(*_given: Any) -> None:
    """Do nothing."""


def _make_silent() -> Callable[..., None]:
    return silent
