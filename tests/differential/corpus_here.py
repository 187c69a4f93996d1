"""The corpus, loaded in tracker's interpreter."""

from __future__ import annotations

import sys

import tracker
from differential.script import Script, load_corpus


def load() -> dict[str, Script]:
    """Return the scripts by key; ``wandb``, which their modules import, is tracker meanwhile."""
    before = sys.modules.get("wandb")
    sys.modules["wandb"] = tracker
    try:
        return load_corpus()
    finally:
        if before is None:
            del sys.modules["wandb"]
        else:
            sys.modules["wandb"] = before
