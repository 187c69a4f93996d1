"""Settings: from arguments, else TRACKER_* variables, else WANDB_* variables, else defaults."""

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
# wandb's other words. Several processes may write to one run anyway, which is what "shared" asks for.
_OTHER_MODES = {"dryrun": "offline", "run": "online", "shared": "online"}
CONSOLES = ("auto", "wrap", "redirect", "off", "wrap_raw", "wrap_emu")
_FALSE = ("", "0", "false", "no", "off")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What rules a run and where it is kept.

    Attributes:
        store: Folder of the local store.
        base_url: Server to send to; None keeps everything in the local store.
        api_key: Key for that server.
        mode: ``"online"`` (send when a server is named), ``"offline"`` (no network), ``"disabled"``.
        entity: Whose projects; ``"local"`` unless said otherwise.
        project: Project of new runs.
        journal_only: Leave applying to another host; None lets the file system decide.
        fsync_seconds: How much a power cut may take.
        finish_seconds: How long ``finish`` waits at the most for a server that takes bytes.
        silent: Print nothing.
        run_root: Where a run's own folder (``Run.dir``) is made, in ``wandb``.
        former_store: Another store in the folder that ``dir`` names, where older versions kept their runs.
        console: What of the output is kept: ``"auto"``, ``"wrap"``, ``"redirect"`` or ``"off"``.
        disable_git: Say nothing of the git repository.
        disable_code: Keep neither code nor differences to what is committed.
        save_code: Keep the main script, or the notebook's cells.
        host: What the facts of a run call this machine, instead of its name.
        username: What they call the user.
        email: The user's address, instead of git's.
        program: What they call the main script.
        x_disable_stats: Sample no system metrics.
        x_disable_meta: Keep no facts of the machine and the program.
        x_disable_machine_info: Neither facts nor system metrics.
        x_save_requirements: Keep which packages are installed.
        x_stats_sampling_interval: Seconds between two samples.
        x_stats_disk_paths: File systems whose use is sampled.
        x_stats_gpu_device_ids: Which GPUs are sampled; None: all that the process can see.
        x_stats_track_process_tree: Count the process's descendants too.
        quiet: Print no more than what is wrong.
        sweep_id: The sweep that runs belong to.
    """

    store: Path
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
    """Return the settings in force.

    Args:
        environment: Where variables are looked up; the process's own by default.
        **given: Fields of ``Settings``, or ``dir`` (the same as ``run_root``); None means not given.

    Raises:
        UsageError: A value cannot be used; says which variable or argument.
    """
    variables = os.environ if environment is None else environment

    def variable(*names: str) -> str | None:
        for name in names:
            for prefix in ("TRACKER_", "WANDB_"):
                if value := variables.get(prefix + name):
                    return value
        return None

    launched = launch_folder()
    folder, named = given.pop("dir", None), _beside_runs(variable("DIR") or "")
    noted = config_files.read_folder(named or launched)
    store = variables.get("TRACKER_STORE") or noted.pop("store", None)
    store = os.path.join(launched, os.path.expanduser(store)) if store else _find_store(launched)
    tags = variable("TAGS")
    found: dict[str, Any] = {
        "store": store,
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
        raise UsageError(f"console is {found['console']!r}; use one of {', '.join(CONSOLES)}")
    if found["mode"] not in (None, *MODES):
        raise SettingsError(f"mode is {found['mode']!r}; use one of {', '.join(MODES)}")
    return Settings(**{name: value for name, value in found.items() if value is not None})


def _find_store(folder: str) -> str:
    """Return the store in a folder, else the user's nearest one above it, else the path for a new one."""
    own = os.path.join(folder, STORE_FOLDER)
    if os.path.isdir(own):
        return own
    above = (os.path.join(at, STORE_FOLDER) for at in Path(folder).parents)
    return next((store for store in above if _is_store(store) and _is_of_user(store)), own)


def _is_store(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in ("store.json", "outbox"))


def _is_of_user(store: str) -> bool:
    """Whether a store belongs to this user, or to a group that shares it and has this user as a member."""
    if os.name == "nt":
        return True
    found = os.stat(store)
    shared = found.st_mode & stat.S_IWGRP and found.st_gid in (os.getegid(), *os.getgroups())
    return found.st_uid == os.geteuid() or bool(shared)


def _former_store(store: Path, *folders: str | os.PathLike[str] | None) -> Path | None:
    """Return another store in one of the folders: older versions made it there."""
    for folder in (os.path.expanduser(each) for each in folders if each):
        former = os.path.realpath(os.path.join(folder, STORE_FOLDER))
        if _is_store(former) and former != os.path.realpath(store):
            return Path(former)
    return None


def _beside_runs(folder: str) -> str:
    """Return the folder that a run's own lies in: scripts give ``run.dir`` to other ranks as WANDB_DIR."""
    for at in Path(folder).parents:
        if at.name == "wandb" and Path(folder).relative_to(at).parts[1:2] == ("files",):
            return str(at.parent)
    return folder


def _fill_in(found: dict[str, Any], noted: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Add what commands have noted: for this folder, the server, its key."""
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
        raise UsageError(f"X_STATS_SAMPLING_INTERVAL is {text!r}; give seconds, 0.1 or more")
    return seconds


def _seconds(variables: Mapping[str, str], name: str, least: float, most: float) -> float | None:
    """Return the seconds that a variable says, from ``least`` to below ``most``; None when it is not set."""
    text = variables.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds < most:
        raise UsageError(f"{name} is {text!r}; give seconds, like 1 or 0.5")
    return seconds
