"""The base class and helpers of Lightning, from the Lightning package that the program uses."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

# Lightning has two package names. Each has its own Logger class, and a program may use both.
PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def packages() -> list[str]:
    """Return the Lightning packages that are imported already, else the first that is installed.

    Raises:
        ImportError: No Lightning package is installed.
    """
    used = [name for name in PACKAGES if name in sys.modules]
    found = used or [name for name in PACKAGES if find_spec(name.partition(".")[0]) is not None][:1]
    if not found:
        raise ImportError("WandbLogger needs Lightning: pip install 'airgap-tracker[lightning]'")
    return found


if TYPE_CHECKING:
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn
else:
    _loggers = [import_module(f"{name}.loggers.logger") for name in packages()]
    Logger = type("Logger", tuple(module.Logger for module in _loggers), {})
    rank_zero_experiment = _loggers[0].rank_zero_experiment
    _ranks = import_module(f"{packages()[0]}.utilities.rank_zero")
    rank_zero_only, rank_zero_warn = _ranks.rank_zero_only, _ranks.rank_zero_warn

__all__ = ["Logger", "rank_zero_experiment", "rank_zero_only", "rank_zero_warn"]
