"""Helpers for scripts that send their runs to a server: set the server, wait for it, and read from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripts
from serving import Server

import tracker


def use(server: Server, monkeypatch: pytest.MonkeyPatch, key: str | None = None) -> None:
    """Set the server in the environment, as a user would."""
    monkeypatch.setenv("TRACKER_BASE_URL", server.url)
    monkeypatch.setenv("TRACKER_SILENT", "1")
    if key or server.key:
        monkeypatch.setenv("TRACKER_API_KEY", key or server.key or "")


def outbox_journals(folder: Path) -> list[Path]:
    """Return the journals that wait to be sent."""
    return sorted((folder / "tracker-store" / "outbox").glob("*/journals/*/*.journal"))


def sent(folder: Path) -> None:
    """Wait until the recorder has sent everything."""
    scripts.wait_for(lambda: not outbox_journals(folder), "the outbox to be empty")


def values_of(project: str, run_id: str) -> list[int]:
    """Return the logged values, as ``Api`` reads them from the server."""
    return [row["x"] for row in tracker.Api().run(f"{project}/{run_id}").history(pandas=False)]
