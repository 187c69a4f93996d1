"""``Summary``: the summary of a run as a dict. ``update()`` stores its changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class SummarySubDict(dict[str, Any]):
    """A dict whose keys are also attributes, in nested dicts too.

    Spaces around a key are removed (wandb: ``apis/public/summary.py``).
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for key, value in (values or {}).items():
            self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, Mapping) and not isinstance(value, SummarySubDict):
            value = SummarySubDict(value)
        super().__setitem__(key.strip() if isinstance(key, str) else key, value)

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key.strip() if isinstance(key, str) else key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key.strip() if isinstance(key, str) else key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key.strip() if isinstance(key, str) else key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or ``default`` if the key does not exist."""
        return super().get(key.strip() if isinstance(key, str) else key, default)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self:
            raise AttributeError(f"The summary has no key {name!r}.")
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def _set_all(self, values: Mapping[str, Any], overwrite: bool) -> None:
        for key, value in values.items():
            if overwrite or key not in self:
                self[key] = value

    def update(self, key_vals: Mapping[str, Any] | None = None, overwrite: bool = True) -> None:  # type: ignore[override]
        """Set keys. ``update`` of the whole summary stores them: see ``Summary.update``."""
        self._set_all(key_vals or {}, overwrite)

    @property
    def _json_dict(self) -> dict[str, Any]:
        """The values as plain dicts. Many scripts use this private name."""
        return {
            key: value._json_dict if isinstance(value, SummarySubDict) else value
            for key, value in self.items()
        }


class Summary(SummarySubDict):
    """The summary of a run. Change keys, then call ``update()``.

    Args:
        values: The current values.
        store: Called by ``update`` to store the changes.
    """

    def __init__(self, values: Mapping[str, Any], store: Callable[[], None]) -> None:
        super().__init__(values)
        self._store = store

    def update(self, key_vals: Mapping[str, Any] | None = None, overwrite: bool = True) -> None:  # type: ignore[override]
        """Set keys and store all changes of the summary.

        Args:
            key_vals: Keys and values.
            overwrite: Whether to replace existing values.

        Raises:
            UsageError: A value cannot be stored.
        """
        self._set_all(key_vals or {}, overwrite)
        self._store()
