"""``run.config``: hyperparameters that change by wandb's rules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, KeysView
from typing import Any

from tracker.errors import ConfigError
from tracker.ground import public_package
from tracker.ground.terminal import say
from tracker.ground.values import check_depth
from tracker.sdk.run.config_sources import parse_config
from tracker.sdk.run.config_values import config_value

Emit = Callable[[dict[str, Any]], None]

# tracker's own data is under this key: charts, class labels, pinned keys, the path of the code, ...
INTERNAL = "_wandb"


class Config:
    """A dict-like object with attribute access. Each change writes a record.

    The rules for changes are those of wandb (wandb: ``sdk/wandb_config.py``):

    * An existing value changes only with ``allow_val_change=True``. Notebooks do not need the flag.
    * ``-`` is removed from the start and the end of a key.
    * ``keys()``, ``items()`` and ``as_dict()`` omit keys that begin with ``_``.
    * Keys cannot be deleted.
    * A script may change a nested dict in place. ``persist()`` records such changes.

    Unlike wandb, the config keeps large integers exact, and keeps NaN.
    """

    def __init__(
        self,
        values: dict[str, Any] | None = None,
        emit: Emit = lambda _: None,
        use_artifact: Callable[[Any], dict[str, Any]] | None = None,
    ) -> None:
        object.__setattr__(self, "_items", {} if values is None else values)
        object.__setattr__(self, "_emit", emit)
        object.__setattr__(self, "_use_artifact", use_artifact)
        object.__setattr__(self, "_locked", {})

    # The hyperparameter search of transformers reads ``_items`` from ``vars(wandb.config)``.
    _items: dict[str, Any]
    _emit: Emit
    _use_artifact: Callable[[Any], dict[str, Any]] | None
    _locked: dict[str, str | None]

    def update(self, d: Any, allow_val_change: bool | None = None) -> None:
        """Set many keys from a dict, a Namespace, absl flags, omegaconf, or the path of a YAML file.

        Raises:
            ConfigError: A key already has another value and ``allow_val_change`` is not set, or the file is
                invalid.
            TypeError: The type of ``d`` is not supported, or a value has no plain form.
        """
        given = parse_config(d)
        self._set({key: value for key, value in given.items() if not self._is_locked(key)}, allow_val_change)

    def setdefaults(self, d: Any) -> None:
        """Set only the keys that have no value yet."""
        self._set({key: value for key, value in parse_config(d).items() if key not in self._items}, None)

    def update_locked(
        self, d: dict[str, Any], user: str | None = None, _allow_val_change: bool | None = None
    ) -> None:
        """Set keys and lock them. Later updates of these keys are ignored with a warning.

        Args:
            d: The keys and values.
            user: The owner of the lock, for example a sweep.
        """
        self._set(d, _allow_val_change)
        self._locked.update((key.strip("-"), user) for key in d)

    def merge_locked(
        self, d: dict[str, Any], user: str | None = None, _allow_val_change: bool | None = None
    ) -> None:
        """Set and lock keys as ``update_locked`` does, but merge a dict into an existing dict.

        Args:
            d: The keys and values.
            user: The owner of the lock, for example a sweep.
        """
        plain = self._sanitized(d, _allow_val_change)
        merged = {key: _merged(self._items.get(key), value) for key, value in plain.items()}
        self._set(merged, True)
        self._locked.update((key, user) for key in merged)

    def persist(self) -> None:
        """Record all values again. Use it after nested dicts were changed in place."""
        self._emit(self._encoded(self._items))

    def as_dict(self) -> dict[str, Any]:
        """Return the config as a new dict, without keys that begin with ``_``."""
        return {key: self._items[key] for key in self.keys()}

    def get(self, *args: Any) -> Any:
        """Return the value of a key, or the default."""
        return self._items.get(*args)

    def keys(self) -> list[str]:
        """Return the keys that do not begin with ``_``."""
        return [key for key in self._items if not key.startswith("_")]

    def items(self) -> list[tuple[str, Any]]:
        """Return the keys that do not begin with ``_``, with their values."""
        return [(key, self._items[key]) for key in self.keys()]

    def _as_dict(self) -> dict[str, Any]:
        return self._items

    def _is_locked(self, key: str) -> bool:
        if key not in self._locked:
            return False
        say(f"Config item '{key}' was locked by '{self._locked[key]}' (ignored update).")
        return True

    def _set(self, values: dict[str, Any], allow_change: bool | None) -> None:
        plain = self._sanitized(values, allow_change)
        changed = {
            key: value
            for key, value in plain.items()
            if key not in self._items or not same(self._items[key], value)
        }
        if changed:
            self._emit(self._encoded(changed))
            self._items.update(changed)

    def _sanitized(self, values: dict[str, Any], allow_change: bool | None) -> dict[str, Any]:
        if allow_change is None:
            allow_change = _in_notebook()
        plain = {}
        for name, given in values.items():
            key, value = config_key(name), plain_config_value(given)
            if not allow_change and key in self._items and not same(self._items[key], value):
                raise ConfigError(
                    f'Attempted to change value of key "{key}" from {self._items[key]} to {value}\n'
                    "If you really want to do this, pass allow_val_change=True to config.update()"
                )
            plain[key] = value
        return plain

    def _encoded(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values for the record. An artifact is replaced by a dict that represents it."""
        encoded = {}
        for key, value in values.items():
            if is_artifact(value):
                if self._use_artifact is None:
                    raise TypeError(f"The value of {key!r} is an artifact. Log it with a run first.")
                value = {**self._use_artifact(value), "usedAs": key}
            encoded[key] = config_value(value)
        return encoded

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not self._is_locked(key):
            self._set({key: value}, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._items),)  # copies and pickles are plain dicts

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self._items[key]
        except KeyError:
            raise AttributeError(f"The config has no key {key!r}.") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return True  # an empty config is true, as in wandb, whose class has no __len__

    def __repr__(self) -> str:
        return str(self.as_dict())


class ConfigStatic:
    """A read-only copy of a config."""

    def __init__(self, values: dict[str, Any]) -> None:
        object.__setattr__(self, "__dict__", dict(values))

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self.__dict__.keys()

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]

    def __getattr__(self, key: str) -> Any:
        raise AttributeError(f"The config has no key {key!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("Error: run.config_static is a readonly object")

    def __setitem__(self, key: str, value: Any) -> None:
        raise AttributeError("Error: run.config_static is a readonly object")

    def __str__(self) -> str:
        return str(self.__dict__)


def config_key(name: object) -> str:
    """Return a key without ``-`` at its ends.

    Raises:
        AttributeError: The key is not a string. The exception type is that of wandb
            (script ``config.keys_that_are_no_text`` in ``tests/differential/corpus``).
    """
    if not isinstance(name, str):
        raise AttributeError(f"Invalid config key {name!r}. Use a string.")
    return name.strip("-")


def same(old: Any, new: Any) -> bool:
    """Return whether two plain values are equal. NaN equals NaN here."""
    return bool(old == new) or (old != old and new != new)


def is_artifact(value: Any) -> bool:
    """Return whether a value is an ``Artifact``, without importing that class."""
    home = public_package.loaded("tracker.artifacts.artifact")
    return home is not None and isinstance(value, home.Artifact)


def plain_config_value(value: Any) -> Any:
    """Return the plain form of a config value. A logged artifact is returned unchanged.

    Raises:
        TypeError: The value is a media object, a draft artifact, or has no plain form.
        ValueError: An artifact is inside a dict.
    """
    base = public_package.loaded("tracker.data_types.media")
    histogram = public_package.loaded("tracker.data_types.histogram")
    if (base is not None and isinstance(value, base.Media)) or (
        histogram is not None and isinstance(value, histogram.Histogram)
    ):
        raise TypeError("WBValue objects cannot be added to the run config")
    if is_artifact(value):
        if value.is_draft():
            raise TypeError(f"Artifact {value.name!r} is not logged yet. Log it and call wait() first.")
        return value
    if isinstance(value, dict) and _holds_artifact(value):
        # The message is that of wandb.
        raise ValueError("Instances of wandb.Artifact can only be top level keys in a run's config")
    return config_value(value)


def _holds_artifact(values: dict[Any, Any], depth: int = 0) -> bool:
    check_depth(depth)
    return any(
        is_artifact(each) or (isinstance(each, dict) and _holds_artifact(each, depth + 1))
        for each in values.values()
    )


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
