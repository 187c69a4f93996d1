"""``init``: starts a new run or continues an existing one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.errors import SettingsError
from tracker.ground import names
from tracker.ground.settings import Settings, load_settings
from tracker.ground.terminal import say
from tracker.reading.open_reader import layout_for, note_store, remote_for
from tracker.reading.resume_state import find_run
from tracker.sdk.process import active_runs
from tracker.sdk.process.resume_file import forget_run, remember_run, remembered_run, resume_file
from tracker.sdk.process.run_journal import NoJournal
from tracker.sdk.run.capture import RunCapturing
from tracker.sdk.run.config import INTERNAL, config_key, is_artifact, plain_config_value
from tracker.sdk.run.config_sources import initial_config, parse_config
from tracker.sdk.run.fallback import usable_store
from tracker.sdk.run.identity import LONGEST_TAG
from tracker.sdk.run.run import Run
from tracker.sdk.run.settings import InitArguments, arguments_of
from tracker.sdk.run.settings import Settings as GivenSettings
from tracker.sdk.start import rewind, setup, sweep_trial
from tracker.sdk.start.open_run import find_and_open, open_segment, started_of
from tracker.sdk.start.server_probe import probe_server

if TYPE_CHECKING:
    pass

RESUME_MODES = ("allow", "must", "never", "auto")
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
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: GivenSettings | dict[str, Any] | None = None,
    anonymous: str | None = None,
) -> Run:
    """Start a run, or continue one, and return it. Neither a server nor a network is needed.

    Args:
        entity: Owner of the project. Default: ``WANDB_ENTITY``, else ``"local"``.
        project: Name of the project. Default: ``WANDB_PROJECT``, else ``"uncategorized"``.
        dir: Folder for the run's own files (``Run.dir``). Default: ``WANDB_DIR``, else the working folder.
            It does not change the location of the store.
        id: Id of the run. Default: a generated id.
        name: Display name. Default: a generated name (adjective-noun-number).
        notes: Free text.
        tags: Labels. A string is one label.
        config: Hyperparameters: a dict, an object with attributes, absl flags, omegaconf, or the path of a
            YAML file. ``config`` overrides ``config-defaults.yaml`` of the working folder. The files in
            ``WANDB_CONFIG_PATHS`` override ``config``.
        group: Name of a group of runs.
        job_type: Kind of work in the group, such as ``"train"`` or ``"eval"``.
        mode: ``"online"`` sends the run to the server; without a configured server, the run is kept in the
            store. ``"offline"`` keeps it in the store. ``"disabled"`` writes nothing.
        reinit: Behaviour when this process already has a run: ``"return_previous"`` (default),
            ``"finish_previous"`` (also True) or ``"create_new"``.
        resume: ``"allow"`` continues the run if ``id`` exists. ``"must"`` requires it to exist, ``"never"``
            requires that it does not. ``"auto"`` (also True) continues the run that the last process with
            ``resume="auto"`` started in this folder, if that run did not succeed.
        anonymous: Accepted for compatibility and ignored.
        config_exclude_keys: Keys of ``config`` to leave out.
        config_include_keys: The only keys of ``config`` to use.
        allow_val_change: Accepted for compatibility and ignored. The argument ``config`` may always change
            values of a resumed run. For later changes, see ``Config.update``.
        force: Accepted for compatibility and ignored: no login is required.
        save_code: Save the main script, or the cells of the notebook, as a file of the run. With the setting
            ``code_dir``, also log the source files below that folder (``Run.log_code``).
        resume_from: ``"ID?_step=N"``: continue run ID after step N. Its later rows are hidden.
        fork_from: ``"ID?_step=N"``: start a new run with a copy of the history of run ID up to step N.
        tensorboard: Older name of ``sync_tensorboard``.
        sync_tensorboard: Also log the scalars, histograms, images and PR curves that this process writes for
            TensorBoard. The key ``global_step`` contains TensorBoard's step.
        monitor_gym: Log the videos that gymnasium records.
        settings: Further fields of ``Settings``.

    Raises:
        UsageError: An argument is invalid. Nothing was written.
        Error: A package that ``sync_tensorboard`` or ``monitor_gym`` needs is missing. Nothing was written.
        StoreError: A newer tracker created the store, or a temporary store cannot be used either.
    """
    extra = {**arguments_of(setup.defaults), **arguments_of(settings)}
    arguments = InitArguments(*map(extra.get, InitArguments._fields))
    extra = {
        name: value for name, value in extra.items() if name in Settings.__struct_fields__ or name == "dir"
    }
    if save_code is not None:
        extra["save_code"] = save_code
    previous = active_runs.current_of_this_process()
    how = _reinit(arguments.reinit if reinit is None else reinit)
    if previous is not None and how == "return_previous":
        return previous
    if previous is not None and how == "finish_previous":
        previous.finish()
    if active_runs.observer is not None:
        active_runs.observer.stop()
    trial = sweep_trial.find_trial(os.environ)
    if trial is not None:
        entity, project, id = trial.place_of_run(entity, project, id, extra)
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
        texts["tags"] = [_tag(tag) for tag in labels]
    found = load_settings(**{**extra, **texts})
    tensorboard = sync_tensorboard or tensorboard or arguments.sync_tensorboard
    _watch_libraries(tensorboard, monitor_gym)
    first = initial_config(parse_config(config or {}, config_exclude_keys, config_include_keys))
    artifacts = {key: value for key, value in first.items() if is_artifact(value)}
    plain = {
        config_key(key): plain_config_value(value) for key, value in first.items() if key not in artifacts
    }
    if trial is not None:
        plain = trial.apply_to(plain)
    back, fork = (
        (arguments.resume_from if resume_from is None else resume_from),
        (arguments.fork_from if fork_from is None else fork_from),
    )
    run = _begin(found, plain, _resume(resume if resume is not None else found.resume), back, fork)
    note_store(found if extra.get("store") is None else load_settings(), run.journal.settings)
    if trial is not None:
        trial.lock(run.config)
    active_runs.add(run, make_current=how != "create_new" or previous is None)
    if artifacts and not run.disabled:
        run.config.update(artifacts, allow_val_change=True)
    if found.save_code and arguments.code_dir is not None:
        run.log_code(arguments.code_dir)
    if not run.disabled:
        run.capturing = RunCapturing(run, found)
        run.capturing.begin()
    if tensorboard:
        from tracker.sdk.tensorboard.patch import sync

        sync(run)
    return run


def _watch_libraries(tensorboard: bool | None, monitor_gym: bool | None) -> None:
    if tensorboard:
        from tracker.sdk.tensorboard.patch import is_patched, patch

        if not is_patched():
            patch()
    if monitor_gym:
        from tracker.sdk.gymnasium import monitor

        monitor()


def _begin(
    settings: Settings, config: dict[str, Any], resume: str | None, resume_from: object, fork_from: object
) -> Run:
    names.check_entity(settings.entity)
    names.check_project(settings.project)
    back = fork = None
    if resume_from is not None or fork_from is not None:
        back, fork = rewind.check_rewind_arguments(settings.run_id, resume, resume_from, fork_from)
    if back is not None:
        settings = msgspec.structs.replace(settings, run_id=back.run_id)
    file = resume_file(settings)
    if resume == "auto":
        settings = msgspec.structs.replace(settings, run_id=_auto(settings, file))
    run_id = names.new_run_id() if settings.run_id is None else names.check_run_id(settings.run_id)
    if settings.mode == "disabled":
        from tracker.sdk.run.noop import DisabledRun

        settings = msgspec.structs.replace(
            settings,
            entity=settings.entity if settings.entity != "local" else "dummy",
            project="dummy" if settings.project == "uncategorized" else settings.project,
        )
        started = started_of(settings, run_id, settings.name or f"dummy-{run_id}", config, None)
        return DisabledRun(started, NoJournal(started, settings), resumed=False, config=dict(config))
    moment = back or fork
    continued = moment.run_id if moment is not None else run_id if resume is not None else None
    settings, layout = usable_store(_with_former_store(settings, continued))
    past = rewind.read_rewound_history(settings, moment) if moment is not None else None
    if past is not None and moment is not None:
        branch = {"run_id": moment.run_id, "step": moment.step}
        config = {**past.config, **config}
        config[INTERNAL] = {**config.get(INTERNAL, {}), "branch_point": branch}
    if fork is not None and past is not None:
        from tracker.sdk.process.writers import Writer

        run = open_segment(settings, layout, run_id, config, None, Writer(runtime_base=past.runtime))
        rewind.copy_rows_before(run, settings, fork, past)
        run.set_next_step(fork.step + 1)
    elif settings.run_id is None and resume != "must":  # the id is new: no other run or rank has it
        run = open_segment(settings, layout, run_id, config)
    else:
        at = None if back is None else back.step + 1
        run = find_and_open(settings, layout, run_id, config, "must" if back else resume, at)
        if past is not None:
            rewind.rewind_run(run, past)
    if resume == "auto":
        try:
            remember_run(file, run_id)
        except OSError as error:
            say(f"cannot write {file} ({error.strerror}). resume='auto' will not find the run")
        run.resume_file = file
    elif resume is None:
        forget_run(file)
    remote = remote_for(settings)
    where = f"sent to {remote.url}" if remote is not None else f"kept in {settings.store}"
    if settings.spool is not None:
        where = f"written to {layout.root}, and moved to {settings.store}"
    if remote is None and settings.base_url is not None:  # mode="offline"
        where += f" until `tracker sync --to {settings.base_url}` sends it"
    say(f"run {run.path} ({run.name}) is {where}", silent=settings.silent or settings.quiet)
    if remote is not None:
        probe_server(remote, silent=settings.silent)
    return run


def _with_former_store(settings: Settings, continued: str | None) -> Settings:
    """Return the settings, with the former store if only that store has the run to continue.

    The former store is a store that an older version made in the folder ``dir`` or ``WANDB_DIR``. If it
    exists, print one line about it. See docs/decisions/0045.
    """
    former = settings.former_store
    if former is None:
        return settings
    there = msgspec.structs.replace(settings, store=former)
    place = settings.entity, settings.project
    silent = settings.silent or settings.quiet
    if (
        continued is not None
        and find_run(layout_for(settings), *place, continued) is None
        and find_run(layout_for(there), *place, continued) is not None
    ):
        say(
            f"run {continued} is continued in {former}, where it is stored. New runs go to {settings.store}",
            silent=silent,
        )
        return there
    say(
        f"`dir` does not set the location of the store: this run goes to {settings.store}. Older runs are in "
        f"{former}. To see them, run `tracker server --store {former}`. To keep new runs there too, set "
        f"TRACKER_STORE={former}",
        silent=silent,
    )
    return settings


def _reinit(reinit: bool | str | None) -> str:
    if isinstance(reinit, str):
        if reinit not in REINIT_MODES and reinit != "default":
            raise SettingsError(f"Invalid reinit {reinit!r}. Use one of {', '.join(REINIT_MODES)}.")
        return "return_previous" if reinit == "default" else reinit
    return "finish_previous" if reinit else "return_previous"


def _resume(resume: bool | str | None) -> str | None:
    if resume is None or resume is False:
        return None
    if resume is True:
        return "auto"
    if resume not in RESUME_MODES:
        raise SettingsError(f"Invalid resume {resume!r}. Use one of {', '.join(RESUME_MODES)}.")
    return str(resume)


def _auto(settings: Settings, file: str) -> str:
    """Return the id of a run with ``resume="auto"``: the given id, else the remembered id, else a new one."""
    remembered = remembered_run(file)
    if settings.run_id is None:
        return remembered or names.new_run_id()
    if remembered is not None and remembered != settings.run_id:
        say(
            f"Ignoring ID {remembered} loaded due to resume='auto' because the run ID is set to "
            f"{settings.run_id}.",
            silent=settings.silent,
        )
    return settings.run_id


def _tag(tag: object) -> str:
    text = str(tag)
    if not 1 <= len(text) <= LONGEST_TAG:
        raise SettingsError(
            f"Tag {text[:80]!r} has {len(text)} characters. Use 1 to {LONGEST_TAG} characters."
        )
    return text
