"""``setup``, ``teardown``, ``require``: what wandb asks for once in a process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.errors import UnsupportedError
from tracker.ground.settings import Settings as InForce
from tracker.ground.settings import load_settings
from tracker.sdk.process import active_runs
from tracker.sdk.run.settings import ARGUMENTS, Settings, arguments_of, settings_of

# Given to ``setup``: they stand under those of ``init``.
defaults: Settings | None = None
# What programs ask for that wandb always does by now, and this too.
_FEATURES = ("require", "service", "core", "legacy-service")


class WandbSetup:
    """What ``setup`` returns: the settings that ``init`` begins with."""

    @property
    def settings(self) -> Settings:
        """Those of the environment, and over them those that were given to ``setup``."""
        found = settings_of(load_settings())
        found.update_from_dict(defaults.given if defaults is not None else {})
        return found


def setup(settings: Settings | dict[str, Any] | None = None) -> WandbSetup:
    """Set what later ``init`` calls of this process begin with. There is no service to start.

    Args:
        settings: ``Settings`` or a dict of its fields; None leaves those of before.

    Raises:
        SettingsError: A field or its value is not allowed.
    """
    global defaults
    if settings is not None:
        given = settings if isinstance(settings, Settings) else Settings(**settings)
        defaults = Settings(**{**(defaults.given if defaults is not None else {}), **given.given})
    return WandbSetup()


def in_force() -> InForce:
    """Return the settings that ``init`` would begin with, with the API key."""
    given = arguments_of(defaults)
    return load_settings(
        **{
            name: value
            for name, value in given.items()
            if name not in ARGUMENTS or name in InForce.__struct_fields__
        }
    )


def teardown(exit_code: int | None = None) -> None:
    """Finish the runs of this process and forget what ``setup`` was given.

    Args:
        exit_code: Of the runs: 0 or None finished, else failed.
    """
    global defaults
    for run in active_runs.open_runs():
        run.finish(exit_code)
    defaults = None


def ensure_configured() -> None:
    """Do nothing, as in wandb."""


def require(
    requirement: str | Iterable[str] | None = None, experiment: str | Iterable[str] | None = None
) -> None:
    """Say which experimental features a script uses: ``"service"`` and ``"core"`` are known, and do nothing.

    Raises:
        UnsupportedError: Another feature is asked for.
    """
    wanted = requirement or experiment or ()
    for feature in (wanted,) if isinstance(wanted, str) else wanted:
        name = feature.partition("@")[0].partition(":")[0]
        if name not in _FEATURES:
            raise UnsupportedError(f"require({name!r})", "leave the call out")
