"""What was captured of a run without code: samples of the machine, output, facts of its start."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from server.dependencies import Reader, ReaderDep, StoreDep
from server.links import media_url
from server.responses import LARGEST_NUMBER, ExactJSON
from tracker.ground import values
from tracker.store.queries import media
from tracker.store.queries.runs import get_run

router = APIRouter(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

# A larger file of facts is not read to be shown; it can be downloaded.
LARGEST_FACTS = 4 * 1024 * 1024
# Files that say something of a run's start, beside those in ``code/``.
_FACTS = ("wandb-metadata.json", "requirements.txt", "conda-environment.yaml", "diff.patch")


@router.get("/system")
def system(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    segment: str | None = None,
    points: Annotated[int | None, Query(ge=1, le=20_000)] = None,
) -> Response:
    """Return the samples of system metrics, of each writer (rank) and attempt."""
    return ExactJSON({"segments": reader.system(entity, project, run_id, segment, points)})


@router.get("/console")
def console(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    segment: str | None = None,
    offset: Annotated[int, Query(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)] = 0,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 1000,
    search: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """Return lines of the run's output, from ``offset`` on (negative: from the end), those that match."""
    return ExactJSON(
        reader.console(entity, project, run_id, segment=segment, offset=offset, limit=limit, search=search)
    )


@router.get("/facts")
def facts(store: StoreDep, entity: str, project: str, run_id: str) -> Response:
    """Return the facts of the run's start: ``metadata``, ``packages``, and the files that hold them."""

    def found(session: Session) -> dict[str, Any]:
        run = get_run(session, entity, project, run_id)
        files = {
            file.path: file
            for file in media.list_files(session, run)
            if file.path in _FACTS or file.path.startswith("code/")
        }

        def read(path: str) -> str:
            file = files.get(path)
            if file is None or file.size > LARGEST_FACTS:
                return ""
            content = b"".join(store.blobs.chunks(file.sha256, size=LARGEST_FACTS))
            return content.decode("utf-8", "replace")

        text = read("wandb-metadata.json")
        return {
            "metadata": values.loads(text.encode()) if text else None,
            "packages": read("requirements.txt").split(),
            "files": [
                {"path": path, "size": file.size, "url": media_url(run, path)} for path, file in files.items()
            ],
        }

    return ExactJSON(store.answer(found))
