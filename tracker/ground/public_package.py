"""The package as users see it, handed down to the few places below it that do what a user would.

They begin a run, attach to one or ask ``Api``, which are made of these very places: an import would close a
circle. ``tracker/__init__.py`` says what the package is before anything else is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol


class Face(Protocol):
    """What is used of the package below it."""

    Api: Callable[..., Any]
    Run: type
    init: Callable[..., Any]
    _attach: Callable[[str], Any]
    _sync_folder: Callable[..., str]


package: Face


def loaded(module: str) -> Any:
    """Return the module of a name, such as ``"tracker.plot.custom_chart"``; None if it is not imported.

    In a program that has another ``tracker``, the module has another name: see ``airgap_tracker``.
    """
    return sys.modules.get(module.replace("tracker", __name__.partition(".")[0], 1))
