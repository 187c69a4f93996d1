"""Files of runs: addresses for uploads, and what arrives there."""

from __future__ import annotations

import time
from mimetypes import guess_type
from typing import Any

from server.wandb.context import Context
from server.wandb.ids import read_id
from server.wandb.run_object import GENERATED
from server.wandb.segments import Segments
from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import RunPath
from tracker.ground.processes import this_process
from tracker.ground.records import OUTSIDE, FileRemoved, FileSaved, Record, RunFinished, RunStarted


def create_run_files(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Return the addresses for uploads of a run's files."""
    place = context.place(input.get("entityName"), input.get("projectName"), input.get("runName"))
    context.require("writer", place)
    return {
        "runID": place[2],
        "uploadHeaders": [],
        "files": [
            {
                "name": name,
                "uploadUrl": context.address(
                    "upload", place=list(place), path=check_path(name), client=context.client
                ),
            }
            for name in input.get("files") or ()
        ],
    }


def check_path(path: Any) -> str:
    """Return the path of a file of a run.

    Raises:
        UsageError: It is not a relative path.
    """
    parts = str(path).split("/")
    if not path or "" in parts or ".." in parts or "." in parts or "\0" in str(path):
        raise UsageError(f"{path!r:.200} is not the path of a file of a run")
    return str(path)


def save(segments: Segments, place: RunPath, client: str, path: str, sha256: str, size: int) -> None:
    """Record a file whose content has arrived.

    Args:
        segments: The segments of the clients.
        place: The run.
        client: Id of the client if several write to one run; else empty.
        path: Path of the file in the run.
        sha256: Checksum of the content.
        size: Size in bytes.
    """
    if path in GENERATED:
        return
    record = FileSaved(path, sha256, size, guess_type(path)[0] or "application/octet-stream")
    append(segments, place, client, record)


def append(segments: Segments, place: RunPath, client: str, *records: Record) -> None:
    """Add records to a run, also to one that has ended.

    Args:
        segments: The segments of the clients.
        place: The run.
        client: See ``save``.
        records: The records.

    Raises:
        NotFoundError: There is no such run.
    """
    with segments.using(place, client) as segment:
        if segment is not None and segment.is_usable:
            segment.append(records)
            return
    if not segments.know(place):
        raise NotFoundError(f"there is no run {'/'.join(place)}")
    now = time.time()
    started = RunStarted(*place, now, this_process(), rank=OUTSIDE)
    segments.add(place, [started, *records, RunFinished(now, "finished")])


def delete_files(
    context: Context, files: list[str] | None = None, input: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Remove files from a run.

    Args:
        context: The request.
        files: Ids of files, as older clients send them.
        input: The same, under the key ``files``.
    """
    for each in files or (input or {}).get("files") or ():
        *place, path = read_id("File", each, 4)
        run: RunPath = (place[0], place[1], place[2])
        context.require("writer", run)
        append(context.segments, run, context.client, FileRemoved(check_path(path)))
    return {"success": True}


def mark_run_files_uploaded(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Accept the news that files were uploaded: their content was recorded when it arrived."""
    return {"success": True}
