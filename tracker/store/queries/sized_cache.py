"""A cache of values whose sizes are known: it keeps those that were used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class SizedCache(Generic[T]):
    """Keeps values by name. Several threads may use it.

    Args:
        largest_bytes: The largest total size of the kept values.

    Attributes:
        size_bytes: The total size of the kept values.
    """

    def __init__(self, largest_bytes: int) -> None:
        self._largest = largest_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], tuple[T, int]] = OrderedDict()
        self.size_bytes = 0

    def get(self, name: tuple[object, ...]) -> T | None:
        """Return a value; None if it is not kept."""
        with self._lock:
            if name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name][0]

    def keep(self, name: tuple[object, ...], value: T, size: int) -> None:
        """Keep a value, unless it is larger than the cache.

        Args:
            name: The name.
            value: The value, which callers share.
            size: The size of the value in bytes.
        """
        with self._lock:
            if size > self._largest or name in self._kept:
                return
            self._kept[name] = (value, size)
            self.size_bytes += size
            while self.size_bytes > self._largest:
                _, (_, gone) = self._kept.popitem(last=False)
                self.size_bytes -= gone
