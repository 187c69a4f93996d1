"""Routes for data that was captured automatically: system metrics, output, facts about the start of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from server.answers import Facts, FactsFile, SystemMetricsList
from server.bodies import AskedRank
from server.dependencies import ReaderDep, StoreDep
from server.exports import export_content, send_export
from server.links import media_url
from server.responses import LARGEST_NUMBER, ExactJSON
from server.rights import Reader
from server.routing import api_router
from tracker.ground import values
from tracker.ground.export_formats import FORMATS, Format
from tracker.ground.read_models import Output
from tracker.store.queries import media
from tracker.store.queries.runs import get_run

router = api_router(prefix="/projects/{entity}/{project}/runs/{run_id}", tags=["runs"], dependencies=[Reader])

Search = Annotated[str, Query(max_length=1000)]
Stream = Annotated[Literal["stdout", "stderr"] | None, Query()]

# A larger file of facts is not shown, but it can be downloaded.
LARGEST_FACTS = 4 * 1024 * 1024
# Files with facts about the start of a run, in addition to those in ``code/``.
_FACTS = ("wandb-metadata.json", "requirements.txt", "conda-environment.yaml", "diff.patch")


@router.get("/system", response_model=SystemMetricsList)
def get_system_metrics(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    segment: str | None = None,
    points: Annotated[int | None, Query(ge=1, le=20_000)] = None,
) -> Response:
    """Return the samples of system metrics of a run, for each writer (rank) and attempt.

    ``segment`` selects one writer and attempt; ``points`` limits the number of samples.

    \f
    See ``HistoryReader.system``.
    """
    return ExactJSON(SystemMetricsList(reader.system(entity, project, run_id, segment, points)))


@router.get("/system/export", response_class=Response, responses=export_content(*FORMATS))
def export_system_metrics(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    format: Format,
    segment: str | None = None,
    rank: AskedRank = None,
) -> Response:
    """Return the system metrics of one segment as a file; by default, of the primary writer's newest attempt.

    ``rank`` selects the newest attempt of one rank, or with ``all`` that of each rank, with its rank as
    ``_rank``.

    \f
    See ``HistoryReader.export_system``.
    """
    return send_export(
        lambda: reader.export_system(entity, project, run_id, format, segment, rank),
        FORMATS[format].media_type,
        f"{run_id}.system.{FORMATS[format].ending}",
    )


@router.get("/console", response_model=Output)
def get_console(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    segment: str | None = None,
    rank: int | None = None,
    offset: Annotated[int, Query(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)] = 0,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 1000,
    tail: Annotated[int | None, Query(ge=0, le=10_000)] = None,
    search: Search = "",
    regex: bool = False,
    stream: Stream = None,
) -> Response:
    """Return lines of a run's output, from line ``offset`` on. A negative ``offset`` counts from the end.

    The lines are those of the primary writer, of the writer ``rank`` or of one segment.
    ``search`` selects the lines that contain a text, with ``regex`` those that match an RE2 pattern;
    ``stream`` those of one stream. ``limit`` is the greatest number of lines. ``tail`` returns lines from the
    end instead.

    \f
    See ``HistoryReader.console``.
    """
    return ExactJSON(
        reader.console(
            entity,
            project,
            run_id,
            segment=segment,
            rank=rank,
            offset=offset,
            limit=limit if tail is None else None,
            tail=tail,
            search=search,
            regex=regex,
            stream=stream,
        )
    )


@router.get(
    "/console/download",
    response_class=Response,
    responses={200: {"description": "The lines.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def download_console(
    reader: ReaderDep,
    entity: str,
    project: str,
    run_id: str,
    segment: str | None = None,
    rank: int | None = None,
    search: Search = "",
    regex: bool = False,
    stream: Stream = None,
    timestamps: bool = False,
) -> Response:
    """Return the output of a run as a text file. With ``timestamps``, each line begins with its time (UTC).

    \f
    See ``HistoryReader.output_text``.
    """
    return send_export(
        lambda: reader.output_text(
            entity,
            project,
            run_id,
            segment=segment,
            rank=rank,
            search=search,
            regex=regex,
            stream=stream,
            timestamps=timestamps,
        ),
        "text/plain; charset=utf-8",
        f"{run_id}.output.log",
    )


@router.get("/facts", response_model=Facts)
def get_facts(store: StoreDep, entity: str, project: str, run_id: str) -> Response:
    """Return facts about the start of a run: ``metadata``, ``packages``, and the files that contain them.

    \f
    Args:
        store: The store of this server.
        entity: Entity of the project.
        project: Name of the project.
        run_id: Id of the run.
    """

    def found(session: Session) -> Facts:
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
        return Facts(
            values.loads(text.encode()) if text else None,
            read("requirements.txt").split(),
            [FactsFile(path, file.size, media_url(run, path), file.sha256) for path, file in files.items()],
        )

    return ExactJSON(store.answer(found))
