"""Comparison of all answers of two stores about their runs and artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import scripts
from builders import all_rows
from exact import exact
from sqlalchemy import select

from tracker.ground.records import OUTSIDE
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Project, Run, Segment
from tracker.store.history.captured import KINDS, captured_rows
from tracker.store.queries import artifacts, media, runs


def content_of(root: Path) -> dict[str, Any]:
    """Return all answers of a store about its runs, without the values that differ between two stores."""
    store = open_store(root, create=False)
    found: dict[str, Any] = {}
    with store.reading() as session:
        for project in session.scalars(select(Project).order_by(Project.entity, Project.name)):
            place = (project.entity, project.name)
            for run in session.scalars(select(Run).where(Run.project_id == project.id)):
                detail = msgspec.to_builtins(runs.run_detail(session, *place, run.run_id))
                segments = session.scalars(
                    select(Segment).where(Segment.run_id == run.id, Segment.rank < OUTSIDE)
                ).all()
                found["/".join((*place, run.run_id))] = {
                    "detail": detail,
                    "files": sorted((f.path, f.sha256, f.mimetype) for f in media.list_files(session, run)),
                    "rows": {each.segment: all_rows(store, each.segment) for each in segments},
                    "captured": {
                        f"{each.segment} {kind}": _captured(session, each.id, kind, root)
                        for each in segments
                        for kind in KINDS
                    },
                }
            for version in artifacts.list_artifacts(session, *place):
                detail = msgspec.to_builtins(
                    artifacts.artifact_detail(session, *place, version.name, version.version)
                )
                detail["used_by"] = sorted(user["id"] for user in detail["used_by"])
                detail.pop("updated_at")
                assert store.blobs.has(detail["manifest"])
                found["/".join((*place, version.name, version.version))] = detail
    store.close()
    return found


def _captured(session: Any, segment: int, kind: str, root: Path) -> list[tuple[Any, ...]]:
    """Return captured rows without the number of a sample, which depends on the journal."""
    rows = captured_rows(session, segment, kind, root)
    return [tuple(row)[2:] if kind == "system" else tuple(row) for row in rows]


def wait_until_sealed(root: Path) -> None:
    """Wait until all segments of a store are sealed: until then, its answers can differ in details."""
    store = open_store(root, create=False)

    def is_sealed() -> bool:
        with store.reading() as session:
            return session.scalar(select(Segment.id).where(Segment.sealed.is_(False)).limit(1)) is None

    scripts.wait_for(is_sealed, f"all segments of {root} to be sealed")
    store.close()


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, answer in expected.items():
        for part in answer:
            assert exact(found[name][part]) == exact(answer[part]), (name, part)
