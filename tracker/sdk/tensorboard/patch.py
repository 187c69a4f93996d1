"""Detects where a program writes for TensorBoard, with a hook in the constructors of the writers."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import Error
from tracker.ground.terminal import say
from tracker.sdk.process import active_runs
from tracker.sdk.tensorboard.follow import EventFollower

if TYPE_CHECKING:
    from tracker.sdk.run.run import Run

# Modules whose class EventFileWriter is hooked, if installed. torch.utils.tensorboard uses the first one.
_WRITERS = ("tensorboard.summary.writer.event_file_writer", "tensorboardX.event_file_writer")

_undo: list[Callable[[], None]] = []
_followers: dict[Run, EventFollower] = {}  # by open run


def patch(
    save: bool = True,
    tensorboard_x: bool | None = None,
    pytorch: bool | None = None,
    root_logdir: str = "",
) -> None:
    """From now on, log to the active run what is written for TensorBoard.

    Args:
        save: Whether to store the tfevents files with the run.
        tensorboard_x: Accepted for compatibility. All installed writers are followed.
        pytorch: Accepted for compatibility. All installed writers are followed.
        root_logdir: Keys begin with the path of their directory below this one. By default, it is the common
            path of the directories, once there are two.

    Raises:
        ValueError: ``patch`` was already called, or ``init(sync_tensorboard=True)`` was.
        Error: The package tensorboard is not installed.
    """
    if is_patched():
        raise ValueError(
            "Tensorboard already patched. Call `wandb.tensorboard.unpatch()` first, "
            "or leave out one of `wandb.tensorboard.patch` and `sync_tensorboard=True`."
        )
    if importlib.util.find_spec("tensorboard") is None:
        raise Error("sync_tensorboard needs the tensorboard package: pip install tensorboard")
    if "tensorflow" in sys.modules:
        say(
            "Data written with TensorFlow's own tf.summary is not followed. To log it afterwards, call "
            "`Api().sync_tensorboard(logdir)`."
        )
    root = Path(root_logdir).absolute() if root_logdir else None
    for name in _WRITERS:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            _hook(importlib.import_module(name).EventFileWriter, root, save)


def unpatch() -> None:
    """Undo ``patch``. Directories that are already followed are followed until their run ends."""
    while _undo:
        _undo.pop()()


def is_patched() -> bool:
    """Return whether writers are hooked."""
    return bool(_undo)


def sync(run: Run) -> EventFollower:
    """Return the follower of a run's TensorBoard directories.

    From now on, ``step=`` of the run's ``log`` is ignored with a warning (wandb: ``sdk/wandb_run.py``),
    because rows of both sources share one history.
    """
    follower = _followers.get(run)
    if follower is None:
        follower = _followers[run] = EventFollower(run)
        run.before_end(lambda: _end(run))
        run.log = _without_step(run.log)  # type: ignore[method-assign]
    return follower


def _end(run: Run) -> None:
    _followers.pop(run).close()


def _hook(writer: Any, root: Path | None, save: bool) -> None:
    original = writer.__init__

    @functools.wraps(original)
    def init(self: Any, logdir: Any, *args: Any, **kwargs: Any) -> None:
        run = active_runs.current
        follower = None
        if run is not None:
            folder = _as_folder(logdir)
            if folder is not None:
                follower = sync(run)
                below = root if root is not None and folder.is_relative_to(root) else None
                follower.add(folder, root=below, save=save)
        original(self, logdir, *args, **kwargs)
        if follower is not None:
            follower.flush_at_end(self)

    writer.__init__ = init
    _undo.append(functools.partial(setattr, writer, "__init__", original))


def _as_folder(logdir: Any) -> Path | None:
    if "://" in str(logdir):
        say(f"TensorBoard directory {logdir} is not on a file system. Data written there is not logged.")
        return None
    return Path(logdir).absolute()


def _without_step(log: Callable[..., None]) -> Callable[..., None]:
    said = False

    @functools.wraps(log)
    def without_step(data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        nonlocal said
        if step is not None and not said:
            said = True
            say(
                "Step cannot be set when using tensorboard syncing. Please use `run.define_metric(...)` to "
                "define a custom metric to log your step values."
            )
        log(data, commit=commit)

    return without_step


# A fork does not copy threads. The child follows the directories that it writes to itself.
os.register_at_fork(after_in_child=_followers.clear)
