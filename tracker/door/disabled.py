"""Classes of wandb that exist only for ``isinstance`` checks. tracker creates no objects of them."""

from __future__ import annotations

from typing import Any


class RunDisabled:
    """The class of older wandb runs with ``mode="disabled"``. Now it is a ``Run`` with ``disabled`` True."""

    def __init__(self) -> None:
        raise TypeError('RunDisabled cannot be created. init(mode="disabled") returns a Run.')


class SummaryDisabled(dict[str, Any]):
    """The class of the summary of such older runs."""
