"""``wandb.sdk.lib.telemetry``, with which libraries report their use. tracker discards the reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TelemetryRecord:
    """An object that accepts assignments at any depth and discards them."""

    def __getattr__(self, name: str) -> TelemetryRecord:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        pass


@contextmanager
def context(run: Any = None, obj: Any = None) -> Iterator[TelemetryRecord]:
    """Yield a record whose fields a library can set."""
    yield TelemetryRecord()
