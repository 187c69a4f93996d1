"""``init``: begin a run, or continue one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker import names
from tracker.errors import CommError, UsageError
from tracker.processes import this_process
from tracker.reading.known import KnownRun, find_run
from tracker.reading.open import can_apply, is_journal_only, layout_for, remote_for
from tracker.recorder.remote import write_remote
from tracker.records import RunStarted
from tracker.sdk import active
from tracker.sdk.config import as_config
from tracker.sdk.greeting import ask_for_run, greet
from tracker.sdk.journal import NoJournal, RunJournal
from tracker.sdk.run import Run
from tracker.settings import Settings, load_settings
from tracker.store.description import make_folders
from tracker.terminal import say

RESUME_MODES = ("allow", "must", "never")
REINIT_MODES = ("return_previous", "finish_previous", "create_new")


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | os.PathLike[str] | None = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | str | None = None,
    config: Any = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    anonymous: str | None = None,
    settings: Settings | dict[str, Any] | None = None,
) -> Run:
    """Begin a run; like ``wandb.init``. Needs no server and no network.

    Args:
        entity: Whose project; ``WANDB_ENTITY``, else ``"local"``.
        project: ``WANDB_PROJECT``, else ``"uncategorized"``.
        dir: Folder in which the store ``tracker-store`` lies; ``WANDB_DIR``, else the working folder.
        id: The run's id; made up unless given.
        name: Display name; made up (adjective-noun-number) unless given.
        notes: Free text.
        tags: Labels; a string is one tag.
        config: Hyperparameters: a dict, or an object with attributes.
        group: Name of a group of runs.
        job_type: Such as ``"train"`` or ``"eval"``.
        mode: ``"online"`` (send to the server that is named, if one is), ``"offline"``, ``"disabled"``.
        reinit: What to do when this process has a run: ``"return_previous"`` (default),
            ``"finish_previous"`` (also True) or ``"create_new"``.
        resume: ``"allow"`` (continue the run if ``id`` exists), ``"must"``, ``"never"``.
        anonymous: Accepted for compatibility, has no meaning here.
        settings: Further ``Settings`` fields.

    Raises:
        UsageError: An argument cannot work; says which and why. Nothing was written.
        StoreError: The store cannot be used.
    """
    previous = active.current_of_this_process()
    how = _reinit(reinit)
    if previous is not None and how == "return_previous":
        return previous
    if previous is not None and how == "finish_previous":
        previous.finish()
    given: dict[str, Any] = {
        "entity": entity,
        "project": project,
        "dir": dir,
        "run_id": id,
        "name": name,
        "notes": notes,
        "group": group,
        "job_type": job_type,
        "mode": mode,
    }
    texts: dict[str, Any] = {key: str(value) for key, value in given.items() if value is not None}
    labels = [tags] if isinstance(tags, str) else tags
    if labels is not None:
        texts["tags"] = [str(tag) for tag in labels]
    found = load_settings(**{**_extra_settings(settings), **texts})
    run = _begin(found, as_config(config), _resume(resume if resume is not None else found.resume, id))
    active.remember(run, make_current=how != "create_new" or previous is None)
    return run


def _begin(settings: Settings, config: dict[str, Any], resume: str | None) -> Run:
    names.check_entity(settings.entity)
    names.check_project(settings.project)
    run_id = names.new_run_id() if settings.run_id is None else names.check_run_id(settings.run_id)
    if settings.mode == "disabled":
        started = _started(settings, f"dummy-{run_id}", f"dummy-{run_id}", config, None)
        return Run(started, NoJournal(started, settings), resumed=False, config=dict(config))
    layout = layout_for(settings)
    make_folders(layout)
    known = _known_run(settings, run_id, resume) if settings.run_id is not None else None
    if known is None and resume == "must":
        raise UsageError(
            f"resume='must' but there is no run {settings.entity}/{settings.project}/{run_id} "
            f"in {layout.root}: check the id, or use resume='allow'"
        )
    if known is not None and resume == "never":
        raise UsageError(
            f"resume='never' but there is a run {settings.entity}/{settings.project}/{run_id}: use another id"
        )
    continued = known if resume in ("allow", "must") else None
    merged = {**continued.config, **config} if continued is not None else config
    name = settings.name or (known.name if known else None) or names.new_run_name()
    started = _started(settings, run_id, name, merged, known, continues=continued is not None)
    remote = remote_for(settings)
    if remote is not None:
        write_remote(layout, remote)
    recorder = _wants_recorder(settings)
    summary = continued.summary if continued is not None else {}
    journal = RunJournal(layout, started, settings, recorder=recorder, summary=summary)
    run = Run(started, journal, resumed=continued is not None, config=dict(merged))
    where = f"sent to {remote.url}" if remote is not None else f"kept in {layout.root}"
    say(f"run {run.path} ({run.name}) is {where}", silent=settings.silent)
    if remote is not None:
        greet(remote, silent=settings.silent)
    return run


def _started(
    settings: Settings,
    run_id: str,
    name: str,
    config: dict[str, Any],
    known: KnownRun | None,
    *,
    continues: bool = False,
) -> RunStarted:
    last_step = known.last_step if known is not None and continues else None
    return RunStarted(
        entity=settings.entity,
        project=settings.project,
        run_id=run_id,
        time=time.time(),
        process=this_process(),
        name=name,
        # The id was used before: a further attempt. Without resume it begins at 0 again and hides the
        # older rows from the default view; nothing is overwritten.
        attempt=known.attempts if known is not None else 0,
        start_step=0 if last_step is None else last_step + 1,
        group=settings.group,
        job_type=settings.job_type,
        tags=settings.tags,
        notes=settings.notes,
        config=config,
        program=sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else None,
        runtime_base=known.runtime if known is not None and continues else 0.0,
    )


def _known_run(settings: Settings, run_id: str, resume: str | None) -> KnownRun | None:
    """Return what is known of a run with this id: in the folder, and on the server if one is named."""
    here = find_run(layout_for(settings), settings.entity, settings.project, run_id)
    remote = remote_for(settings)
    if remote is None:
        return here
    try:
        there = ask_for_run(remote, settings.entity, settings.project, run_id)
    except CommError as error:
        if resume == "must":
            raise
        # Training does not wait for a server. Rows of before stay, as an older attempt.
        say(f"{error.message}. It cannot be asked whether run {run_id} exists", silent=settings.silent)
        return here
    if here is None or there is None:
        return here or there
    steps = [step for step in (here.last_step, there.last_step) if step is not None]
    return KnownRun(
        max(steps, default=None),
        max(here.attempts, there.attempts),
        max(here.runtime, there.runtime),
        {**there.config, **here.config},
        {**there.summary, **here.summary},
        here.name or there.name,
    )


def _wants_recorder(settings: Settings) -> bool:
    if remote_for(settings) is not None:
        return True
    if is_journal_only(settings):
        say(
            f"{settings.store} is shared over a network: journals are written here, and wait for "
            "`tracker server` or `tracker sync` on the host that keeps the catalog",
            silent=settings.silent,
        )
        return False
    if not can_apply():
        say(
            "journals are written and await a recorder: `pip install airgap-tracker` with its dependencies "
            "here, or open the store on a machine that has them",
            silent=settings.silent,
        )
        return False
    return True


def _extra_settings(settings: Settings | dict[str, Any] | None) -> dict[str, Any]:
    if settings is None:
        return {}
    if isinstance(settings, Settings):
        return {name: getattr(settings, name) for name in settings.__struct_fields__}
    unknown = set(settings) - set(Settings.__struct_fields__)
    if unknown:
        raise UsageError(f"unknown settings: {', '.join(sorted(unknown))}")
    return {name: Path(value) if name == "store" else value for name, value in settings.items()}


def _reinit(reinit: bool | str | None) -> str:
    if isinstance(reinit, str):
        if reinit not in REINIT_MODES and reinit != "default":
            raise UsageError(f"reinit is {reinit!r}; use one of {', '.join(REINIT_MODES)}")
        return "return_previous" if reinit == "default" else reinit
    return "finish_previous" if reinit else "return_previous"


def _resume(resume: bool | str | None, run_id: str | None) -> str | None:
    if resume is None or resume is False:
        return None
    if resume is True or resume == "auto":
        raise UsageError("resume='auto' is not supported: name the run with id= and use resume='allow'")
    if resume not in RESUME_MODES:
        raise UsageError(f"resume is {resume!r}; use one of {', '.join(RESUME_MODES)}")
    return str(resume)
