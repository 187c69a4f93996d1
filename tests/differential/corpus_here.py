"""Loading of the corpus in tracker's interpreter."""

from __future__ import annotations

import sys

import tracker
from differential.script import Script, load_corpus


def load() -> dict[str, Script]:
    """Return the scripts by key. During the call, ``wandb``, which their modules import, is tracker."""
    before = sys.modules.get("wandb")
    sys.modules["wandb"] = tracker
    try:
        return load_corpus()
    finally:
        if before is None:
            del sys.modules["wandb"]
        else:
            sys.modules["wandb"] = before
