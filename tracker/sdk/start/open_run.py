"""Opening a run for writing: looks for its earlier segments, and opens a new segment after them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.errors import CommError, UsageError
from tracker.ground import clock, names
from tracker.ground.names import RunPath
from tracker.ground.processes import this_process
from tracker.ground.records import RunStarted
from tracker.ground.settings import Settings
from tracker.ground.terminal import say
from tracker.reading.open_reader import can_apply, is_journal_only, remote_for, why_journal_only
from tracker.reading.resume_state import SHOWN, ResumeState, find_run, join_resume_states
from tracker.recorder.outbox import write_remote
from tracker.sdk.process import active_runs
from tracker.sdk.process.run_journal import RunJournal
from tracker.sdk.run.run import Run
from tracker.sdk.start.server_probe import fetch_moved_place, fetch_resume_state
from tracker.store.objects.layout import Layout
from tracker.store.published.moves import moved_place

if TYPE_CHECKING:
    from tracker.sdk.process.writers import Writer


def find_and_open(
    settings: Settings,
    layout: Layout,
    run_id: str,
    config: dict[str, Any],
    resume: str | None,
    at: int | None = None,
) -> Run:
    """Open a run with a given id. The run may exist, and other processes may be writing it.

    Args:
        settings: Settings with the run's entity and project.
        layout: The store, outbox or spool.
        run_id: The run's id.
        config: Config that the script gave.
        resume: One of ``RESUME_MODES`` or None. ``"auto"`` works as ``"allow"``.
        at: First step of the new segment. Default: the step after the last one.

    Raises:
        UsageError: ``resume`` does not allow this. Nothing was written.
    """
    from tracker.sdk.process.writers import lock_run_start  # many runs do not need it

    while True:
        place = (settings.entity, settings.project, run_id)
        there = _ask_server(settings, layout, run_id, resume)
        with lock_run_start(layout, place):
            here = find_run(layout, *place, active_runs.segments_of_this_process())
            if settings.spool is not None:
                store = Layout(settings.store)
                there = find_run(store, *place, active_runs.segments_of_this_process())
                if here is not None:
                    here.layout = store  # it has the rows of all attempts
            known, moved = join_resume_states(there, here), None
            if known is None and resume not in (None, "never"):
                moved = _find_moved(settings, layout, place)
            if moved is None:
                return _open_found(settings, layout, run_id, config, resume, at, known)
        said = f"run {'/'.join(place)} was moved to {'/'.join(moved)}: it continues there"
        say(said, silent=settings.silent)
        settings = msgspec.structs.replace(settings, entity=moved[0], project=moved[1])


def _open_found(
    settings: Settings,
    layout: Layout,
    run_id: str,
    config: dict[str, Any],
    resume: str | None,
    at: int | None,
    known: ResumeState | None,
) -> Run:
    from tracker.sdk.process.writers import Writer, find_launch, find_writer

    place = (settings.entity, settings.project, run_id)
    launch = find_launch(os.environ)
    if known is None:
        if resume == "must":
            raise UsageError(
                f"resume='must' was given, but {_place_of(settings, layout)} has no run {'/'.join(place)}. "
                "Check the id, or use resume='allow'."
            )
        return open_segment(settings, layout, run_id, config, None, Writer(launch.rank))
    writer = find_writer(known, launch)
    if resume == "never" and (writer.resumes or writer.additional):
        raise UsageError(f"resume='never' was given, but run {'/'.join(place)} exists. Use another id.")
    if writer.additional:
        say(
            f"another process on this host is writing {'/'.join(place)}. This process writes to it too, "
            f"as rank {writer.rank}",
            silent=settings.silent,
        )
    if resume is None:
        # The id was used before. Without `resume` the steps begin at 0 again, and the default view hides
        # the older rows of this rank. Nothing is overwritten.
        writer = Writer(writer.rank, writer.attempt)
        name = settings.name or known.merged.name
        settings, known = msgspec.structs.replace(settings, name=name), None
    if at is not None:
        writer = writer._replace(start_step=at)
    return open_segment(settings, layout, run_id, config, known, writer)


def _place_of(settings: Settings, layout: Layout) -> Path:
    """Return the folder that has earlier runs: the store, also if this run is written to a spool."""
    return layout.root if settings.spool is None else settings.store


def _find_moved(settings: Settings, layout: Layout, place: RunPath) -> RunPath | None:
    """Return the entity, the project and the id of a run that was moved from ``place``, or None."""
    remote = remote_for(settings)
    if remote is None:
        found = moved_place(Layout(_place_of(settings, layout)), place)
    else:
        try:
            found = fetch_moved_place(remote, place)
        except CommError:
            return None  # training does not wait for a server
    return None if found == place else found


def open_segment(
    settings: Settings,
    layout: Layout,
    run_id: str,
    config: dict[str, Any],
    known: ResumeState | None = None,
    writer: Writer | None = None,
) -> Run:
    """Open a new segment of a run, and return the run.

    Args:
        settings: Settings with the run's entity and project.
        layout: The store or outbox.
        run_id: The run's id.
        config: Config that the script gave; it is applied on top of the run's earlier config.
        known: Earlier state of the run, if this segment continues it.
        writer: Rank, attempt and first step of the segment. Default: rank 0 of a new run.
    """
    before = known.merged if known is not None else None
    merged = {**before.config, **config} if before is not None else config
    name = settings.name or (before.name if before is not None else None) or names.new_run_name()
    started = started_of(settings, run_id, name, merged, writer)
    remote = remote_for(settings)
    if remote is not None:
        write_remote(layout, remote)
    recorder = _wants_recorder(settings)
    journal = RunJournal(layout, started, settings, recorder=recorder, known=known)
    run = Run(started, journal, resumed=writer is not None and writer.resumes, config=dict(merged))
    if before is not None:
        run.show(**{field: getattr(before, field) for field in SHOWN})
    return run


def started_of(
    settings: Settings, run_id: str, name: str, config: dict[str, Any], writer: Writer | None
) -> RunStarted:
    """Return the first record of a segment.

    Args:
        settings: Settings with the run's entity, project, group, job type, tags and notes.
        run_id: The run's id.
        name: Display name.
        config: The run's config.
        writer: Rank, attempt and first step of the segment. Default: rank 0 of a new run.
    """
    if not active_runs.open_runs():
        clock.set_by_wall_clock()
    started = RunStarted(
        entity=settings.entity,
        project=settings.project,
        run_id=run_id,
        time=clock.now(),
        process=this_process(),
        name=name,
        group=settings.group,
        job_type=settings.job_type,
        tags=settings.tags,
        notes=settings.notes,
        config=config,
        program=sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else None,
    )
    if writer is None:
        return started
    return msgspec.structs.replace(
        started,
        rank=writer.rank,
        attempt=writer.attempt,
        start_step=writer.start_step,
        runtime_base=writer.runtime_base,
    )


def _ask_server(settings: Settings, layout: Layout, run_id: str, resume: str | None) -> ResumeState | None:
    """Return the state of a run from the configured server and from here; None without a server."""
    remote = remote_for(settings)
    if remote is None:
        return None
    # Read this first: a journal that is sent and removed in the meantime is then in the server's answer.
    here = find_run(layout, settings.entity, settings.project, run_id, active_runs.segments_of_this_process())
    try:
        return join_resume_states(
            fetch_resume_state(remote, layout, settings.entity, settings.project, run_id), here
        )
    except CommError as error:
        if resume == "must":
            raise
        # Training does not wait for a server. Earlier rows are kept as an older attempt.
        say(
            f"{error.message}. It is not known whether run {run_id} exists on the server",
            silent=settings.silent,
        )
        return here


def _wants_recorder(settings: Settings) -> bool:
    if remote_for(settings) is not None:
        return True
    if settings.spool is not None:  # the recorder moves the journals, and does not apply them
        _say_journal_only(settings)
        return True
    if is_journal_only(settings):
        _say_journal_only(settings)
        return False
    if not can_apply():
        say(
            "journals are written, but no recorder can apply them here. Install the dependencies of "
            "airgap-tracker here, or open the store on a machine that has them",
            silent=settings.silent,
        )
        return False
    return True


def _say_journal_only(settings: Settings) -> None:
    say(
        f"{why_journal_only(settings)}: only journals are written here. Run `tracker server` or "
        "`tracker sync` on the host that keeps the catalog to apply them",
        silent=settings.silent,
    )
