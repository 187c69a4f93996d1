"""A run's summary as ``Api`` gives it: a dict that is stored by ``update()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class SummarySubDict(dict[str, Any]):
    """A dict whose keys are attributes too, nested ones included; keys lose outer spaces, as in wandb."""

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
        """Return a value, or ``default`` when there is none."""
        return super().get(key.strip() if isinstance(key, str) else key, default)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self:
            raise AttributeError(f"the summary has no key {name!r}")
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
        """Set keys; see ``Summary.update``, which stores them."""
        self._set_all(key_vals or {}, overwrite)

    @property
    def _json_dict(self) -> dict[str, Any]:
        """The values as plain dicts, which many scripts read."""
        return {
            key: value._json_dict if isinstance(value, SummarySubDict) else value
            for key, value in self.items()
        }


class Summary(SummarySubDict):
    """The summary of a run, like wandb's ``HTTPSummary``: change keys, then ``update()``.

    Args:
        values: As the run and earlier edits have them.
        store: Stores what differs; called by ``update``.
    """

    def __init__(self, values: Mapping[str, Any], store: Callable[[], None]) -> None:
        super().__init__(values)
        self._store = store

    def update(self, key_vals: Mapping[str, Any] | None = None, overwrite: bool = True) -> None:  # type: ignore[override]
        """Set keys, and store all that was changed.

        Args:
            key_vals: Keys and values.
            overwrite: False leaves keys alone that have a value.

        Raises:
            UsageError: A value cannot be stored.
        """
        self._set_all(key_vals or {}, overwrite)
        self._store()
