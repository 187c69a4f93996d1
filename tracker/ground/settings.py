"""Settings: from arguments, else TRACKER_* or WANDB_* variables, else stored settings, else defaults."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tracker.errors import SettingsError, UsageError
from tracker.ground import config_files
from tracker.ground.launch import launch_folder

STORE_FOLDER = "tracker-store"
MODES = ("online", "offline", "disabled")
# Other modes of wandb. "shared" lets several processes write to one run; tracker always allows this.
_OTHER_MODES = {"dryrun": "offline", "run": "online", "shared": "online"}
CONSOLES = ("auto", "wrap", "redirect", "off", "wrap_raw", "wrap_emu")
# Days for which a deleted run can be restored.
DELETED_DAYS = 7
_FALSE = ("", "0", "false", "no", "off")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a run.

    Attributes:
        store: Folder of the local store.
        spool: Folder on a disk of this host. Runs for a store on a network file system are written there, and
            moved to the store in the background. None: they are written to the store.
        base_url: Address of the server to send runs to; None keeps all runs in the local store.
        api_key: API key for the server.
        mode: ``"online"`` (send if ``base_url`` is set), ``"offline"`` (no network) or ``"disabled"``.
        entity: Entity of new runs.
        project: Project of new runs.
        journal_only: Only write journals, and let another host apply them. None: decide by the file system.
        fsync_seconds: Seconds between two syncs to the disk: a power failure can lose this much.
        append_seconds: Longest time in seconds that a row waits on this host, so that several rows reach the
            journal with one write. 0: each row is written immediately. None: decide by the file system.
        finish_seconds: Longest time in seconds that ``finish`` waits while the server accepts data.
        silent: Print nothing.
        run_root: Folder in whose subfolder ``wandb`` each run gets its own folder (``Run.dir``).
        former_store: A store that an older version made in the folder ``dir`` or ``WANDB_DIR``, if any.
        console: How output is captured: ``"auto"``, ``"wrap"``, ``"redirect"`` or ``"off"``.
        disable_git: Do not record the git repository.
        disable_code: Record neither code nor uncommitted changes.
        save_code: Record the main script, or the notebook's cells.
        host: Host name in the run's metadata, in place of the real one.
        username: User name in the run's metadata, in place of the real one.
        email: Email address in the run's metadata, in place of git's.
        program: Path of the main script in the run's metadata, in place of the real one.
        x_disable_stats: Do not sample system metrics.
        x_disable_meta: Do not record metadata of the machine and the program.
        x_disable_machine_info: Neither record metadata nor sample system metrics.
        x_save_requirements: Record the installed packages.
        x_stats_sampling_interval: Seconds between two samples.
        x_stats_disk_paths: Paths of the file systems whose use is sampled.
        x_stats_gpu_device_ids: Numbers of the sampled GPUs; None: all GPUs that the process can see.
        x_stats_track_process_tree: Include child processes in the samples.
        quiet: Print only warnings and errors.
        sweep_id: The sweep of new runs.
    """

    store: Path
    spool: Path | None = None
    base_url: str | None = None
    api_key: str | None = None
    mode: str = "online"
    entity: str = "local"
    project: str = "uncategorized"
    run_id: str | None = None
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] | None = None
    notes: str | None = None
    resume: str | None = None
    journal_only: bool | None = None
    fsync_seconds: float = 1.0
    append_seconds: float | None = None
    finish_seconds: float = 60.0
    artifact_dir: Path = Path("artifacts")
    silent: bool = False
    run_root: Path = Path(".")
    former_store: Path | None = None
    console: str = "auto"
    disable_git: bool = False
    disable_code: bool = False
    save_code: bool | None = None
    host: str | None = None
    username: str | None = None
    email: str | None = None
    program: str | None = None
    x_disable_stats: bool = False
    x_disable_meta: bool = False
    x_disable_machine_info: bool = False
    x_save_requirements: bool = True
    x_stats_sampling_interval: float = 15.0
    x_stats_disk_paths: tuple[str, ...] | None = ("/",)
    x_stats_gpu_device_ids: tuple[int, ...] | None = None
    x_stats_track_process_tree: bool = False
    quiet: bool = False
    sweep_id: str | None = None


def load_settings(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings from arguments, variables, stored settings and defaults.

    Args:
        environment: Environment variables; by default those of the process.
        **given: Fields of ``Settings``, or ``dir`` (the same as ``run_root``). None means not given.

    Raises:
        UsageError: A variable or an argument has an invalid value.
    """
    variables = os.environ if environment is None else environment

    def variable(*names: str) -> str | None:
        for name in names:
            for prefix in ("TRACKER_", "WANDB_"):
                if value := variables.get(prefix + name):
                    return value
        return None

    launched = launch_folder()
    folder, named = given.pop("dir", None), _run_root_of(variable("DIR") or "")
    noted = config_files.read_folder(named or launched)
    store = variables.get("TRACKER_STORE") or noted.pop("store", None)
    store = os.path.join(launched, os.path.expanduser(store)) if store else _find_store(launched)
    spool = variables.get("TRACKER_SPOOL")
    tags = variable("TAGS")
    found: dict[str, Any] = {
        "store": store,
        "spool": Path(launched, os.path.expanduser(spool)) if spool else None,
        "base_url": variable("BASE_URL"),
        "api_key": variable("API_KEY"),
        "mode": _mode(variable("MODE"), variable("DISABLED")),
        "entity": variable("ENTITY"),
        "project": variable("PROJECT"),
        "run_id": variable("RUN_ID"),
        "name": variable("NAME"),
        "group": variable("RUN_GROUP"),
        "job_type": variable("JOB_TYPE"),
        "tags": [tag for tag in tags.split(",") if tag.strip()] if tags else None,
        "notes": variable("NOTES"),
        "resume": variable("RESUME"),
        "journal_only": _flag(variables.get("TRACKER_JOURNAL_ONLY")),
        "fsync_seconds": _seconds(variables, "TRACKER_FSYNC_SECONDS", 0.001, 3600),
        "append_seconds": _seconds(variables, "TRACKER_APPEND_SECONDS", 0, 10),
        "finish_seconds": _seconds(variables, "TRACKER_FINISH_SECONDS", 0, 1e9),
        "artifact_dir": Path(path) if (path := variable("ARTIFACT_DIR")) else None,
        "silent": _flag(variable("SILENT")),
        "run_root": folder or named or ".",
        "console": variable("CONSOLE"),
        "disable_git": _flag(variable("DISABLE_GIT")),
        "disable_code": _flag(variable("DISABLE_CODE")),
        "save_code": _flag(variable("SAVE_CODE")),
        "host": variable("HOST"),
        "username": variable("USERNAME"),
        "email": variable("USER_EMAIL"),
        "program": variable("PROGRAM"),
        "x_disable_stats": _flag(variable("X_DISABLE_STATS", "_DISABLE_STATS")),
        "x_disable_meta": _flag(variable("X_DISABLE_META", "_DISABLE_META")),
        "x_disable_machine_info": _flag(variable("X_DISABLE_MACHINE_INFO", "_DISABLE_MACHINE_INFO")),
        "x_stats_sampling_interval": _interval(variable("X_STATS_SAMPLING_INTERVAL")),
        "quiet": _flag(variable("QUIET")),
        "sweep_id": variable("SWEEP_ID"),
    }
    found.update({name: value for name, value in given.items() if value is not None})
    _fill_in(found, noted, variables)
    found["mode"] = _OTHER_MODES.get(found["mode"], found["mode"])
    for name in ("store", "run_root"):
        found[name] = Path(found[name]).expanduser().absolute()
    if given.get("store") is None:
        found["former_store"] = _former_store(found["store"], folder, named)
    if found["console"] not in (None, *CONSOLES):
        raise UsageError(f"Invalid console {found['console']!r}. Use one of: {', '.join(CONSOLES)}.")
    if found["mode"] not in (None, *MODES):
        raise SettingsError(f"Invalid mode {found['mode']!r}. Use one of: {', '.join(MODES)}.")
    return Settings(**{name: value for name, value in found.items() if value is not None})


def deletion_grace() -> float:
    """Return the number of seconds for which a deleted run can be restored (``TRACKER_DELETED_DAYS``).

    Raises:
        UsageError: The variable is not a number of days.
    """
    text = os.environ.get("TRACKER_DELETED_DAYS", "")
    try:
        days = float(text or DELETED_DAYS)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1e6:
        raise UsageError(f"Invalid TRACKER_DELETED_DAYS {text!r}. Use a number of days, such as 7 or 0.5.")
    return days * 86_400.0


def _find_store(folder: str) -> str:
    """Return the store in a folder, else the user's nearest store above it, else the path of a new store."""
    own = os.path.join(folder, STORE_FOLDER)
    if os.path.isdir(own):
        return own
    above = (os.path.join(at, STORE_FOLDER) for at in Path(folder).parents)
    return next((store for store in above if _is_store(store) and _is_of_user(store)), own)


def _is_store(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in ("store.json", "outbox"))


def _is_of_user(store: str) -> bool:
    """Return whether a store belongs to this user, or is shared by a group that this user is a member of."""
    if os.name == "nt":
        return True
    found = os.stat(store)
    shared = found.st_mode & stat.S_IWGRP and found.st_gid in (os.getegid(), *os.getgroups())
    return found.st_uid == os.geteuid() or bool(shared)


def _former_store(store: Path, *folders: str | os.PathLike[str] | None) -> Path | None:
    """Return another store in one of the folders, where older versions made stores; None without one."""
    for folder in (os.path.expanduser(each) for each in folders if each):
        former = os.path.realpath(os.path.join(folder, STORE_FOLDER))
        if _is_store(former) and former != os.path.realpath(store):
            return Path(former)
    return None


def _run_root_of(folder: str) -> str:
    """Return the ``run_root`` that a run's folder is in, or ``folder`` if it is not a run's folder.

    Some scripts pass ``run.dir`` to other ranks as WANDB_DIR.
    """
    for at in Path(folder).parents:
        if at.name == "wandb" and Path(folder).relative_to(at).parts[1:2] == ("files",):
            return str(at.parent)
    return folder


def _fill_in(found: dict[str, Any], noted: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Add settings that commands stored: the folder's settings, the server's address and its key."""
    for name, value in noted.items():
        if found[name] is None:
            found[name] = value
    if found["base_url"] is None:
        found["base_url"] = config_files.read_server(variables)
    if found["base_url"] is not None and found["api_key"] is None:
        found["api_key"] = config_files.key_of(found["base_url"])


def _mode(mode: str | None, disabled: str | None) -> str | None:
    return "disabled" if _flag(disabled) else mode


def _flag(text: str | None) -> bool | None:
    return None if text is None else text.strip().lower() not in _FALSE


def _interval(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds < 1e9:
        raise UsageError(f"Invalid X_STATS_SAMPLING_INTERVAL {text!r}. Use a number of seconds, 0.1 or more.")
    return seconds


def _seconds(variables: Mapping[str, str], name: str, least: float, most: float) -> float | None:
    """Return a variable's number of seconds, at least ``least`` and below ``most``; None if it is not set."""
    text = variables.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds < most:
        raise UsageError(f"Invalid {name} {text!r}. Use a number of seconds, such as 1 or 0.5.")
    return seconds
