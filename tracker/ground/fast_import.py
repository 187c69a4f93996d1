"""Importing msgspec without what it would only import for type hints that nobody here uses.

``import msgspec`` takes ``typing_extensions`` when that is installed, and with it ``inspect``, ``ast`` and
``dis``: more than half of what ``init`` imports. From Python 3.11 on msgspec does as well without.
"""

from __future__ import annotations

import sys
from threading import get_ident
from typing import Any

_HEAVY = "typing_extensions"


class _Refusal:
    """A finder for ``sys.meta_path`` that knows one module, and refuses it to one thread."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raise ModuleNotFoundError for the module; leave every other one, and every other thread, alone."""
        if name == _HEAVY and get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def import_msgspec() -> None:
    """Import msgspec, unless it, or what it is to do without, is imported already."""
    if "msgspec" in sys.modules or _HEAVY in sys.modules or sys.version_info < (3, 11):
        return
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        import msgspec  # noqa: F401
    finally:
        sys.meta_path.remove(refusal)
