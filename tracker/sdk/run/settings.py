"""``Settings`` for scripts, under wandb's names: for ``init(settings=)`` and ``run.settings``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracker.errors import SettingsError
from tracker.ground import names
from tracker.ground.settings import STORE_FOLDER, load_settings
from tracker.ground.settings import Settings as InForce
from tracker.ground.terminal import say
from tracker.sdk.run.setting_fields import CHOICES, DEFAULTS, KINDS, OLDER

# wandb's names of fields that have another name in tracker.ground.settings.
_NAMES = {
    "run_group": "group",
    "run_job_type": "job_type",
    "run_name": "name",
    "run_notes": "notes",
    "run_tags": "tags",
    "root_dir": "dir",
}
# Fields that only this tracker has.
_OWN = tuple(name for name in InForce.__struct_fields__ if name not in DEFAULTS)
# Fields about printing and sending. They have no effect here, and no warning is needed.
_IGNORED_SILENTLY = (
    "anonymous",
    "relogin",
    "show_colors",
    "show_emoji",
    "symlink",
    "x_cli_only_mode",
    "x_disable_viewer",
)
_TRUE, _FALSE = ("1", "true", "yes", "on", "y", "t"), ("0", "false", "no", "off", "n", "f")
_reported: set[str] = set()


class InitArguments(NamedTuple):
    """Arguments of ``init`` that can be given as settings; the others are in ``ground.settings.Settings``.

    See ``init`` for the arguments. ``code_dir`` is the folder of the source files that ``save_code`` logs.
    """

    allow_val_change: bool | None = None
    code_dir: str | None = None
    force: bool | None = None
    fork_from: str | None = None
    reinit: bool | str | None = None
    resume_from: str | None = None
    sync_tensorboard: bool | None = None


class Settings:
    """Settings of a run. All fields of wandb's ``Settings`` are accepted, as keywords and as attributes.

    Fields without an effect here are kept, and ``init`` prints one line about them. The fields ``store`` (the
    store's folder), ``journal_only``, ``append_seconds`` and ``fsync_seconds`` exist only in this tracker.

    Raises:
        SettingsError: wandb has no such field, or the value has the wrong type. wandb raises pydantic's
            ValidationError here. Both are ValueErrors.
        UsageError: A run id or a project name is not allowed.
    """

    def __init__(self, **fields: Any) -> None:
        self.__dict__["_given"] = {}
        for name, value in fields.items():
            setattr(self, f"x{name}" if name.startswith("_") else name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        self._given[name] = _checked(name, value)

    def __getattr__(self, name: str) -> Any:
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name]
        if name in DEFAULTS:
            return DEFAULTS[name]
        if name in _OWN:
            return getattr(InForce(store=Path(STORE_FOLDER)), name)
        if (derived := _DERIVED.get(name)) is not None:
            return derived(self)
        raise AttributeError(f"'Settings' object has no attribute {name!r}")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name in DEFAULTS:
            yield name, getattr(self, name)

    def __repr__(self) -> str:
        shown = {name: "***" if name == "api_key" else value for name, value in self._given.items()}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Settings) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return dict(self._given)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__["_given"] = dict(state)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were set, by wandb's names."""
        return dict(self._given)

    def update_from_dict(self, settings: Mapping[str, Any]) -> None:
        """Set several fields. Values that are None are skipped."""
        for name, value in settings.items():
            if value is not None:
                setattr(self, name, value)

    def model_copy(self) -> Settings:
        """Return a copy."""
        return Settings(**self._given)

    def model_dump(self) -> dict[str, Any]:
        """Return all fields as a dict."""
        return dict(self)


def arguments_of(settings: Any) -> dict[str, Any]:
    """Return ``init(settings=)`` as arguments for ``load_settings`` and ``init``.

    Fields without an effect are reported in one printed line.

    Args:
        settings: ``Settings``, a dict of its fields, or None.

    Raises:
        SettingsError: A field or its value is not allowed.
        TypeError: ``settings`` has another type.
    """
    if settings is None:
        return {}
    if isinstance(settings, InForce):
        return {name: getattr(settings, name) for name in settings.__struct_fields__}
    if isinstance(settings, Mapping):
        settings = Settings(**settings)
    if not isinstance(settings, Settings):
        raise TypeError(f"settings must be a Settings object or a dict, not {type(settings).__name__}")
    known = {*InForce.__struct_fields__, "dir", *InitArguments._fields}
    fields = {_NAMES.get(name, name): value for name, value in settings.given.items()}
    ignored = [
        name
        for name, value in fields.items()
        if name not in known and name not in _IGNORED_SILENTLY and value != DEFAULTS.get(name)
    ]
    if fresh := [name for name in ignored if name not in _reported]:
        _reported.update(fresh)
        say(
            f"these settings have no effect here: {', '.join(sorted(fresh))}",
            silent=bool(fields.get("silent")) or load_settings().silent,
        )
    return {
        name: Path(value) if name in ("store", "artifact_dir") and value is not None else value
        for name, value in fields.items()
        if name in known
    }


def settings_of(in_force: InForce, **more: Any) -> Settings:
    """Return the settings in effect under wandb's names, for ``run.settings``."""
    settings = Settings()
    back = {short: name for name, short in _NAMES.items()}
    for name in in_force.__struct_fields__:
        value = getattr(in_force, name)
        if value is not None and name != "api_key":
            settings._given[back.get(name, name)] = str(value) if isinstance(value, os.PathLike) else value
    for name, value in more.items():
        settings._given[name] = value
    return settings


def _checked(name: str, value: Any) -> Any:
    """Return the value to keep for a field, or raise SettingsError."""
    if name in CHOICES:
        choices, _ = CHOICES[name]
        if name == "resume" and isinstance(value, bool):
            value = "auto" if value else None
        if name == "resume" and value == "":
            value = None
        if value is not None and value not in choices:
            raise SettingsError(f"Invalid {name} {value!r}. Use one of: {', '.join(choices)}")
        return value
    if name not in KINDS:
        if name in _OWN or name in OLDER:
            return value
        raise SettingsError(f"Unknown setting {name!r}")
    if value is None:
        return None
    try:
        value = _CONVERSIONS[KINDS[name]](value)
    except (TypeError, ValueError):
        raise SettingsError(f"Invalid {name} {value!r}. Use {_EXPECTED[KINDS[name]]}.") from None
    if name == "run_id":
        names.check_run_id(value)
    if name == "project":
        names.check_project(value)
    return value


def _bool(value: Any) -> bool:
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise ValueError(value)


def _text(value: Any) -> str:
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    raise TypeError(value)


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(_text(each) for each in value)


def _numbers(value: Any) -> tuple[int, ...]:
    found: Sequence[Any] = json.loads(value) if isinstance(value, str) else value
    return tuple(int(each) for each in found)


def _whole(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return int(value)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "any": lambda value: value,
    "bool": _bool,
    "float": float,
    "int": _whole,
    "numbers": _numbers,
    "str": _text,
    "texts": _texts,
}
_EXPECTED = {
    "bool": "True or False",
    "float": "a number",
    "int": "a whole number",
    "numbers": "a list of whole numbers",
    "str": "a string",
    "texts": "a list of strings",
}
# Values that wandb computes from other fields.
_DERIVED: dict[str, Callable[[Settings], Any]] = {
    "_noop": lambda settings: settings.mode == "disabled",
    "_offline": lambda settings: settings.mode in ("offline", "dryrun"),
    "_shared": lambda settings: settings.mode == "shared",
    "is_local": lambda settings: True,
    "run_mode": lambda settings: "offline-run" if settings._offline else "run",
    "wandb_dir": lambda settings: os.path.join(settings.root_dir or os.getcwd(), "wandb"),
}
