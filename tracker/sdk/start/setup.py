"""``setup``, ``teardown`` and ``require``: functions that a script calls once in a process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.errors import UnsupportedError
from tracker.ground.settings import Settings as LoadedSettings
from tracker.ground.settings import load_settings
from tracker.sdk.process import active_runs
from tracker.sdk.run.settings import InitArguments, Settings, arguments_of, settings_of

# Settings that were passed to ``setup``. The arguments of ``init`` override them.
defaults: Settings | None = None
# Features that are always on in wandb 0.31.0 and in tracker.
_FEATURES = ("require", "service", "core", "legacy-service")


class WandbSetup:
    """Result of ``setup``: the settings that later calls of ``init`` start from."""

    @property
    def settings(self) -> Settings:
        """The settings of the environment, overridden by those that were passed to ``setup``."""
        found = settings_of(load_settings())
        found.update_from_dict(defaults.given if defaults is not None else {})
        return found


def setup(settings: Settings | dict[str, Any] | None = None) -> WandbSetup:
    """Set default settings for later ``init`` calls of this process. No service is started.

    Args:
        settings: ``Settings`` or a dict of its fields. They are added to those of earlier calls; None adds
            nothing.

    Raises:
        SettingsError: A field or its value is not allowed.
    """
    global defaults
    if settings is not None:
        given = settings if isinstance(settings, Settings) else Settings(**settings)
        defaults = Settings(**{**(defaults.given if defaults is not None else {}), **given.given})
    return WandbSetup()


def effective_settings() -> LoadedSettings:
    """Return the settings that ``init`` would start from, including the API key."""
    given = arguments_of(defaults)
    return load_settings(
        **{
            name: value
            for name, value in given.items()
            if name not in InitArguments._fields or name in LoadedSettings.__struct_fields__
        }
    )


def teardown(exit_code: int | None = None) -> None:
    """Finish the runs of this process and reset the settings of ``setup``.

    Args:
        exit_code: Exit code of the runs: they finish with 0 or None, and fail otherwise.
    """
    global defaults
    for run in active_runs.open_runs():
        run.finish(exit_code)
    defaults = None


def ensure_configured() -> None:
    """Do nothing, as in wandb (wandb: ``sdk/lib/deprecated_api.py``)."""


def require(
    requirement: str | Iterable[str] | None = None, experiment: str | Iterable[str] | None = None
) -> None:
    """Declare the experimental features that a script uses. ``"service"`` and ``"core"`` have no effect.

    Args:
        requirement: Name of a feature, or several names.
        experiment: Older name of ``requirement``.

    Raises:
        UnsupportedError: A feature is unknown.
    """
    wanted = requirement or experiment or ()
    for feature in (wanted,) if isinstance(wanted, str) else wanted:
        name = feature.partition("@")[0].partition(":")[0]
        if name not in _FEATURES:
            raise UnsupportedError(f"require({name!r})", "remove the call")
