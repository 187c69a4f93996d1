"""Limit of failed attempts to sign in, by address and by user name."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

WINDOW_SECONDS = 300.0
# Failed attempts within `WINDOW_SECONDS` after which further attempts are refused: of one address with one
# name, of one address, and with one name. The last two are larger, so that one client does not lock others
# out who share its address behind a proxy, or whose name it knows.
FEW, MANY = 10, 100
LARGEST_NAMES = 10_000


class SignInLimit:
    """Counts failed attempts. They are kept in memory: a restart of the server forgets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()

    def begin(self, address: str, name: str) -> float:
        """Count an attempt as failed, until ``succeed``; return 0.

        If an attempt is not possible now, return the seconds until it is. Attempts at the same time are
        counted before the first of them ends.

        Args:
            address: Address of the client.
            name: Name of the user; empty for a key.
        """
        now = time.monotonic()
        with self._lock:
            for key, limit in _limits(address, name):
                kept = [at for at in self._failures.get(key, []) if at > now - WINDOW_SECONDS]
                if len(kept) >= limit:
                    return kept[-limit] + WINDOW_SECONDS - now
            for key, _ in _limits(address, name):
                kept = [at for at in self._failures.pop(key, []) if at > now - WINDOW_SECONDS]
                self._failures[key] = [*kept, now]
            while len(self._failures) > LARGEST_NAMES:
                self._failures.popitem(last=False)
        return 0.0

    def succeed(self, address: str, name: str) -> None:
        """Forget the failed attempts of an address with a name, and that the last attempt has begun.

        Args:
            address: Address of the client.
            name: Name of the user; empty for a key.
        """
        with self._lock:
            for key, _ in _limits(address, name):
                if key[0] == "both":
                    self._failures.pop(key, None)
                elif key in self._failures:
                    del self._failures[key][-1:]


def _limits(address: str, name: str) -> list[tuple[tuple[str, ...], int]]:
    found: list[tuple[tuple[str, ...], int]] = [(("both", address, name), FEW), (("address", address), MANY)]
    return [*found, (("name", name), MANY)] if name else found
