"""The public package, for the few modules below it that use ``init``, ``Run`` or ``Api``.

An import would make a circle, because the public package imports these modules. So ``tracker/__init__.py``
sets ``package`` before other modules are imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol


class PublicPackage(Protocol):
    """The names of the public package that modules below it use."""

    Api: Callable[..., Any]
    Run: type
    init: Callable[..., Any]
    _attach: Callable[[str], Any]
    _sync_folder: Callable[..., str]


package: PublicPackage


def loaded(module: str) -> Any:
    """Return an imported module by name, such as ``"tracker.plot.custom_chart"``; None if it is not imported.

    If the user's code has another module ``tracker``, the name starts with ``airgap_tracker`` instead.
    """
    return sys.modules.get(module.replace("tracker", __name__.partition(".")[0], 1))
