"""``run.summary``: the merged current state, read back from the run's own journal."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView
from typing import Any

from tracker.values import to_plain


class Summary:
    """Dict-like, with attribute access. Setting a key wins until the key is logged again.

    Args:
        read: Returns the present summary.
        emit: Records keys that were set, and keys that were removed.
    """

    def __init__(
        self, read: Callable[[], dict[str, Any]], emit: Callable[[dict[str, Any], list[str]], None]
    ) -> None:
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_emit", emit)

    _read: Callable[[], dict[str, Any]]
    _emit: Callable[[dict[str, Any], list[str]], None]

    def update(self, values: dict[str, Any] | None = None, **more: Any) -> None:
        """Set many keys."""
        given = {**(values or {}), **more}
        self._emit({str(key): to_plain(value) for key, value in given.items()}, [])

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or ``default``."""
        return self._read().get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._read().keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the items."""
        return self._read().items()

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        self._emit({}, [key])

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._read()),)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self._read()[key]
        except KeyError:
            raise AttributeError(f"summary has no key {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())
