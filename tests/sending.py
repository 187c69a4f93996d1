"""Helpers for scripts that send their runs to a server: set the server, wait for it, and read from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import scripts
from serving import Server
from sqlalchemy import update

import tracker
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import ApiKey
from tracker.store.ingest.people import Actor, PeopleChange, changing_people


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


def add_user(store: Path, name: str, **fields: Any) -> None:
    """Add a user to a store, which a server may be serving."""
    with _changing(store) as change:
        change.add_user(name, **fields)


def set_role(store: Path, user: str, entity: str, project: str, role: str | None) -> None:
    """Give a user a role, or take it away."""
    with _changing(store) as change:
        change.set_role(user, entity, project, role)


def add_key(store: Path, user: str | None, **fields: Any) -> str:
    """Create a key and return it. Without a user, it has all rights."""
    with _changing(store) as change:
        return change.add_key(user, **fields)[1]


def expire_key(store: Path, name: str) -> None:
    """Make the keys with a name invalid, as their end does."""
    with _changing(store) as change:
        change.session.execute(update(ApiKey).where(ApiKey.name == name).values(expires_at=1.0))


@contextmanager
def _changing(store: Path) -> Iterator[PeopleChange]:
    opened = open_store(store)
    try:
        with changing_people(opened, Actor("test")) as change:
            yield change
    finally:
        opened.close()
