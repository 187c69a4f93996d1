"""Results of queries that are kept until the next change of the catalog."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from tracker.store.catalog.sqlite import Reading, read_rows

T = TypeVar("T")
# Bytes of results in memory.
LARGEST_CACHE = 8 * 1024 * 1024
_REVISION = "SELECT revision FROM clock WHERE id = 1"


class RevisionCache:
    """Results at the newest revision that was asked for. The least recently used ones are dropped first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = -1
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def find(self, revision: int, key: Hashable) -> Any:
        """Return a kept result, or None."""
        with self._lock:
            if revision != self._revision or key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, revision: int, key: Hashable, result: Any, size: int) -> None:
        """Keep a result.

        Args:
            revision: The revision of the catalog from which the result was computed.
            key: The name of the result, with everything that it depends on except the catalog.
            result: The result, which no caller changes.
            size: The approximate size of the result in bytes.
        """
        with self._lock:
            if revision > self._revision:
                self._kept.clear()
                self._revision, self._size = revision, 0
            if revision != self._revision or key in self._kept or size > LARGEST_CACHE:
                return
            self._kept[key] = (result, size)
            self._size += size
            while self._size > LARGEST_CACHE:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._size -= dropped


def revision(session: Reading) -> int:
    """Return the number of the newest committed change."""
    known: int | None = session.info.get("revision")
    if known is None:
        found = read_rows(session, _REVISION)
        known = found[0][0] if found else 0
        if session.info.get("cache") is not None:  # a read transaction: the number does not change
            session.info["revision"] = known
    return known


def cached(session: Reading, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
    """Return the result of ``make``, or the same result of an earlier call at the same revision.

    Args:
        session: A read transaction of a store; in any other transaction, nothing is kept.
        key: The name of the result, with everything that it depends on except the catalog.
        make: Computes the result from the catalog. The caller must not change the result.
        size: Returns the approximate size of a result in bytes.
    """
    cache: RevisionCache | None = session.info.get("cache")
    if cache is None:
        return make()
    now = revision(session)
    found: T | None = cache.find(now, key)
    if found is None:
        found = make()
        cache.keep(now, key, found, size(found))
    return found
