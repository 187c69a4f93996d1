"""``run.summary``: the latest values of a run, read back from its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Convert = Callable[[str, Any], Any]


class _Missing(KeyError, AttributeError):
    """A missing key. wandb raises KeyError for attributes too; ``hasattr`` needs AttributeError."""


class SummaryDict:
    """A dict of the summary with attribute access. Each change writes a record."""

    def _as_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def _change(self, path: tuple[str, ...], values: dict[str, Any], removed: list[str]) -> None:
        raise NotImplementedError

    def update(self, values: dict[str, Any] | None = None, **more: Any) -> None:
        """Set several keys.

        Raises:
            TypeError: A key is not a string, or a value has no plain form.
        """
        given = dict((values or {}).items(), **more) if more else dict((values or {}).items())
        for key in given:
            if not isinstance(key, str):
                raise TypeError(f"Invalid summary key {key!r}. Use a string.")
        self._change((), given, [])

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or ``default``. A returned dict is a copy."""
        return self._as_dict().get(key, default)

    def keys(self) -> list[str]:
        """Return the keys."""
        return [key for key in self._as_dict() if key != "_wandb"]

    def items(self) -> list[tuple[str, Any]]:
        """Return the keys with their values."""
        return list(self._as_dict().items())

    def __getitem__(self, key: str) -> Any:
        try:
            value = self._as_dict()[key]
        except KeyError:
            raise _Missing(key) from None
        return SummarySubDict(self, key, value) if isinstance(value, dict) else value

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        self._change((), {}, [key])

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self[key]

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __delattr__(self, key: str) -> None:
        del self[key]

    def __contains__(self, key: object) -> bool:
        return key in self._as_dict()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SummaryDict):
            return self._as_dict() == other._as_dict()
        return self._as_dict() == other

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._as_dict()),)  # copies and pickles are plain dicts

    def __repr__(self) -> str:
        return repr(self._as_dict())


class Summary(SummaryDict):
    """The summary of a run. A value that is set here holds until the key is logged again.

    Args:
        read: Returns the current summary.
        emit: Records the top-level keys that were set, and the keys that were removed.
        convert: Returns the plain form of a value, given its key and the value.
    """

    def __init__(
        self,
        read: Callable[[], dict[str, Any]],
        emit: Callable[[dict[str, Any], list[str]], None],
        convert: Convert,
    ) -> None:
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_emit", emit)
        object.__setattr__(self, "_convert", convert)

    _read: Callable[[], dict[str, Any]]
    _emit: Callable[[dict[str, Any], list[str]], None]
    _convert: Convert

    def _as_dict(self) -> dict[str, Any]:
        return self._read()

    def _change(self, path: tuple[str, ...], values: dict[str, Any], removed: list[str]) -> None:
        plain = {key: self._convert(".".join((*path, key)), value) for key, value in values.items()}
        if not path:
            self._emit(plain, removed)
            return
        # A record sets whole top-level keys, so the unchanged values under the key are written again.
        top = _changed(self._read().get(path[0]), path[1:], plain, removed)
        if top or values:
            self._emit({path[0]: top}, [])
        else:
            self._emit({}, [path[0]])


def _changed(old: Any, path: tuple[str, ...], values: dict[str, Any], removed: list[str]) -> dict[str, Any]:
    """Return a copy of a dict that is changed at a path. Dicts that become empty are removed."""
    new = dict(old) if isinstance(old, dict) else {}
    if path:
        below = _changed(new.get(path[0]), path[1:], values, removed)
        if below or values:
            new[path[0]] = below
        else:
            new.pop(path[0], None)
        return new
    new.update(values)
    for key in removed:
        new.pop(key, None)
    return new


class SummarySubDict(SummaryDict):
    """A copy of a nested dict of a summary. Changes are written to the summary."""

    def __init__(self, parent: SummaryDict, key: str, items: dict[str, Any]) -> None:
        object.__setattr__(self, "_parent", parent)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "_items", items)

    _parent: SummaryDict
    _key: str
    _items: dict[str, Any]

    def _as_dict(self) -> dict[str, Any]:
        return self._items

    def _change(self, path: tuple[str, ...], values: dict[str, Any], removed: list[str]) -> None:
        self._parent._change((self._key, *path), values, removed)
        if not path:
            self._items.update(values)
            for key in removed:
                self._items.pop(key, None)
