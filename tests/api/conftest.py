"""Fixtures: a store with a few runs, read through its catalog and through a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server, serving

import tracker
from tracker.api.api import Api


def log_runs(folder: Path) -> None:
    """Log three runs of a project."""
    for at, name in enumerate(("one", "two", "three")):
        run = tracker.init(
            entity="team",
            project="demo",
            id=name,
            name=f"run {name}",
            config={"lr": at, "model": {"depth": 2}},
            tags=["first"],
            notes="some notes",
            group="g",
            job_type="train",
            reinit="create_new",
            settings={"store": folder / "tracker-store", "silent": True},
        )
        for step in range(10):
            run.log({"loss": 1 / (step + 1), "nested": {"acc": step}} if step % 2 else {"loss": float(step)})
        run.finish()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a store with the runs of ``log_runs``."""
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKER_X_DISABLE_META", "false")
        log_runs(folder)
    with serving(folder / "tracker-store", key=True) as server:
        yield server


@pytest.fixture(params=["store", "server"])
def api(request: pytest.FixtureRequest, served: Server) -> Api:
    """An ``Api`` that reads the catalog, and one that reads from the server."""
    if request.param == "store":
        return Api({"entity": "team", "project": "demo", "store": served.store})
    overrides = {"entity": "team", "project": "demo", "base_url": served.url}
    return Api({**overrides, "store": served.store.parent / "elsewhere"}, api_key=served.key)
