"""``run.config``: hyperparameters, with wandb's rules for changing them."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping
from typing import Any

from tracker.errors import ConfigError
from tracker.values import to_plain

Emit = Callable[[dict[str, Any]], None]


class Config:
    """Dict-like, with attribute access; every change is a record.

    As in wandb, an existing value is changed only with ``allow_val_change=True``; numpy and torch
    scalars become numbers; values that have no plain form raise TypeError.
    """

    def __init__(self, values: dict[str, Any], emit: Emit) -> None:
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_emit", emit)

    _values: dict[str, Any]
    _emit: Emit

    def update(self, d: Any, allow_val_change: bool | None = None) -> None:
        """Set many keys from a dict, a Namespace, or anything with ``items()`` or ``__dict__``.

        Raises:
            ConfigError: A key has another value already and ``allow_val_change`` is not set.
            TypeError: There is no reading ``d``, or a value has no plain form.
        """
        self._set(as_config(d), bool(allow_val_change))

    def setdefaults(self, d: Any) -> None:
        """Set only the keys that have no value yet."""
        self._set({key: value for key, value in as_config(d).items() if key not in self._values}, True)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy as a plain dict."""
        return dict(self._values)

    def get(self, *args: Any) -> Any:
        """Return a value, or the default."""
        return self._values.get(*args)

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._values.keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the items."""
        return self._values.items()

    def _set(self, values: dict[str, Any], allow_change: bool) -> None:
        changed = {}
        for key, value in values.items():
            if key in self._values and same(self._values[key], value):
                continue
            if key in self._values and not allow_change:
                raise ConfigError(
                    f'Attempted to change value of key "{key}" from {self._values[key]!r} to {value!r}\n'
                    "If you really want to do this, pass allow_val_change=True to config.update()"
                )
            changed[key] = value
        if changed:
            self._values.update(changed)
            self._emit(changed)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._set(as_config({key: value}), False)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._values),)  # a copy, or what another process gets, is a plain dict

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self._values[key]
        except KeyError:
            raise AttributeError(f"config has no key {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


def same(old: Any, new: Any) -> bool:
    """Whether two plain values are the same; NaN is the same as NaN here."""
    return bool(old == new) or (old != old and new != new)


def as_config(values: Any) -> dict[str, Any]:
    """Return what was given as config as a dict of plain values.

    Raises:
        TypeError: It is neither a mapping nor an object with attributes, or a value has no plain form.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        if hasattr(values, "items"):
            values = dict(values.items())
        elif hasattr(values, "__dict__") and not isinstance(values, type):
            values = vars(values)
        else:
            raise TypeError("config must be a dict or have a __dict__ attribute")
    return {str(key): to_plain(value) for key, value in values.items()}
