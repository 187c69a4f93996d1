"""``require`` and the like: what wandb asks for once in a process, and what has no need of it here."""

from __future__ import annotations

from collections.abc import Iterable

from tracker.errors import UnsupportedError

# What programs ask for that wandb always does by now, and this too.
_FEATURES = ("require", "service", "core", "legacy-service")


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
