"""Import of msgspec without ``typing_extensions``, to save time.

``import msgspec`` imports ``typing_extensions`` if it is installed, and with it ``inspect``, ``ast`` and
``dis``: more than half of the imports of ``init``. From Python 3.11 on, msgspec works without it.
"""

from __future__ import annotations

import sys
from threading import get_ident
from typing import Any

_HEAVY = "typing_extensions"


class _Refusal:
    """Import finder that makes ``typing_extensions`` look missing to one thread."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raise ModuleNotFoundError for the module in the one thread; return None otherwise."""
        if name == _HEAVY and get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def import_msgspec() -> None:
    """Import msgspec without ``typing_extensions``, unless one of the two is already imported."""
    if "msgspec" in sys.modules or _HEAVY in sys.modules or sys.version_info < (3, 11):
        return
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        import msgspec  # noqa: F401
    finally:
        sys.meta_path.remove(refusal)
