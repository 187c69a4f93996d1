"""``run.config``: hyperparameters, with wandb's rules for changing them."""

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

# Under this key stands what is not the script's own: pinned keys, where its code is.
INTERNAL = "_wandb"


class Config:
    """Dict-like, with attribute access; every change is a record.

    As in wandb, an existing value is changed only with ``allow_val_change=True`` (in a notebook, always);
    ``-`` around a key is left out; keys that begin with ``_`` are not listed; nothing can be deleted; a
    dict that is read may be changed, which is recorded with ``persist()``. Numbers and NaN stay as they are.
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

    # By wandb's name: transformers' search takes it from ``vars(wandb.config)``.
    _items: dict[str, Any]
    _emit: Emit
    _use_artifact: Callable[[Any], dict[str, Any]] | None
    _locked: dict[str, str | None]

    def update(self, d: Any, allow_val_change: bool | None = None) -> None:
        """Set many keys from a dict, a Namespace, absl flags, omegaconf, or the path of a YAML file.

        Raises:
            ConfigError: A key has another value already and ``allow_val_change`` is not set; a bad file.
            TypeError: There is no reading ``d``, or a value has no plain form.
        """
        given = parse_config(d)
        self._set({key: value for key, value in given.items() if not self._is_locked(key)}, allow_val_change)

    def setdefaults(self, d: Any) -> None:
        """Set only the keys that have no value yet."""
        self._set({key: value for key, value in parse_config(d).items() if key not in self._items}, None)

    def update_locked(
        self, d: dict[str, Any], user: str | None = None, _allow_val_change: bool | None = None
    ) -> None:
        """Set keys that nobody but their ``user`` (a sweep) changes from now on: others are passed over."""
        self._set(d, _allow_val_change)
        self._locked.update((key.strip("-"), user) for key in d)

    def merge_locked(
        self, d: dict[str, Any], user: str | None = None, _allow_val_change: bool | None = None
    ) -> None:
        """As ``update_locked``, but a dict is merged into one that is there."""
        plain = self._sanitized(d, _allow_val_change)
        merged = {key: _merged(self._items.get(key), value) for key, value in plain.items()}
        self._set(merged, True)
        self._locked.update((key, user) for key in merged)

    def persist(self) -> None:
        """Record all values once more: those of dicts that were changed in place."""
        self._emit(self._encoded(self._items))

    def as_dict(self) -> dict[str, Any]:
        """Return a copy as a plain dict, of what is listed."""
        return {key: self._items[key] for key in self.keys()}

    def get(self, *args: Any) -> Any:
        """Return a value, or the default."""
        return self._items.get(*args)

    def keys(self) -> list[str]:
        """Return the keys that do not begin with ``_``."""
        return [key for key in self._items if not key.startswith("_")]

    def items(self) -> list[tuple[str, Any]]:
        """Return those keys with their values."""
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
        """Return values as they are recorded: of an artifact, which it is."""
        encoded = {}
        for key, value in values.items():
            if is_artifact(value):
                if self._use_artifact is None:
                    raise TypeError("an artifact cannot be used here")
                value = {**self._use_artifact(value), "usedAs": key}
            encoded[key] = config_value(value)
        return encoded

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not self._is_locked(key):
            self._set({key: value}, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._items),)  # a copy, or what another process gets, is a plain dict

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self._items[key]
        except KeyError:
            raise AttributeError(f"config has no key {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return True  # as in wandb, of an empty one too

    def __repr__(self) -> str:
        return str(self.as_dict())


class ConfigStatic:
    """A config as it was at one moment; cannot be changed."""

    def __init__(self, values: dict[str, Any]) -> None:
        object.__setattr__(self, "__dict__", dict(values))

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self.__dict__.keys()

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]

    def __getattr__(self, key: str) -> Any:
        raise AttributeError(f"config has no key {key!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("Error: run.config_static is a readonly object")

    def __setitem__(self, key: str, value: Any) -> None:
        raise AttributeError("Error: run.config_static is a readonly object")

    def __str__(self) -> str:
        return str(self.__dict__)


def config_key(name: object) -> str:
    """Return a key as it is kept.

    Raises:
        AttributeError: It is no string, as in wandb.
    """
    if not isinstance(name, str):
        raise AttributeError(f"config keys must be strings, not {name!r}")
    return name.strip("-")


def same(old: Any, new: Any) -> bool:
    """Whether two plain values are the same; NaN is the same as NaN here."""
    return bool(old == new) or (old != old and new != new)


def is_artifact(value: Any) -> bool:
    """Whether a value is an ``Artifact``, without loading it."""
    home = public_package.loaded("tracker.artifacts.artifact")
    return home is not None and isinstance(value, home.Artifact)


def plain_config_value(value: Any) -> Any:
    """Return a config value in its plain form; an artifact that was logged stays one.

    Raises:
        TypeError: Media, an artifact that was not logged, or a value without a plain form.
        ValueError: An artifact inside of a dict.
    """
    base = public_package.loaded("tracker.data_types.media")
    histogram = public_package.loaded("tracker.data_types.histogram")
    if (base is not None and isinstance(value, base.Media)) or (
        histogram is not None and isinstance(value, histogram.Histogram)
    ):
        raise TypeError("WBValue objects cannot be added to the run config")
    if is_artifact(value):
        if value.is_draft():
            raise TypeError(f"artifact {value.name} was not logged: log it, and wait for it, before")
        return value
    if isinstance(value, dict) and _holds_artifact(value):
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
