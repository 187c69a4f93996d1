"""``wandb.sdk.lib.telemetry``: libraries say there that they are in use. Nobody is told here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TelemetryRecord:
    """Takes every assignment, at any depth, and keeps none."""

    def __getattr__(self, name: str) -> TelemetryRecord:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        pass


@contextmanager
def context(run: Any = None, obj: Any = None) -> Iterator[TelemetryRecord]:
    """Give something whose fields a library may set."""
    yield TelemetryRecord()
