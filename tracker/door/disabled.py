"""Classes of wandb's that only serve ``isinstance``: nothing here makes one."""

from __future__ import annotations

from typing import Any


class RunDisabled:
    """What wandb once returned for ``mode="disabled"``; now that is a ``Run`` whose ``disabled`` is True."""

    def __init__(self) -> None:
        raise TypeError('RunDisabled cannot be made: init(mode="disabled") returns a Run')


class SummaryDisabled(dict[str, Any]):
    """What wandb once gave as the summary of such a run."""
