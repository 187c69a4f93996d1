"""Files of other programs that are shown in place, and followed while they grow.

Each file becomes a segment in a private store, as with ``tracker import``, but its journal is applied while
it grows. A file is read on from the last record. The rule of silence is that of decision 106: a run whose
file has not grown for ``MISSED_SECONDS`` counts as ended, and after ``CLOSE_SECONDS`` its segment is closed.
If the file grows after that, it is read again from its start, and the new rows become another segment.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from tracker.capture import logs
from tracker.errors import Error
from tracker.ground.names import RunPath
from tracker.ground.processes import MISSED_SECONDS
from tracker.ground.terminal import is_terminal, printable, say
from tracker.importing.folder_tree import Candidate, FolderTree
from tracker.importing.growing_output import GrowingOutput
from tracker.importing.importer import Earlier, Importer, describe
from tracker.importing.lightning_csv import CsvSource
from tracker.importing.source import GrowingSource, UnreadableError
from tracker.importing.tensorboard import TensorboardSource
from tracker.importing.wandb_run import WandbSource
from tracker.importing.wire import WireError
from tracker.recorder.journal_folders import FEW, IDLE_SHARE, LOOKS_PER_SECOND
from tracker.recorder.watch import Rounds
from tracker.runstate.fold import Gone
from tracker.store.catalog.models import Segment
from tracker.store.ingest.apply import apply_journal, finish_segment
from tracker.store.objects.layout import JournalPath
from tracker.store.store import Store

KINDS = ("wandb", "tensorboard", "csv")
CLOSE_SECONDS = 2 * MISSED_SECONDS
# A long file is read in slices, so that others appear meanwhile.
_SLICE_SECONDS = 1.0
_SLICE_BYTES = 4 * 1024 * 1024
# Between two slices, files that grow are looked at after this time.
_LOOK_SECONDS = 0.5
# A program that has written nothing for this long has written its row to the end.
_REST_SECONDS = 1.0
_DRAW_SECONDS = 0.2
# Ending all runs at exit may take this long. Otherwise the next `tracker open` reads all files again.
_EXIT_SECONDS = 20.0

# "waiting": not read yet. "growing": followed. "silent": counts as ended. "closed": it is only looked at.
# "complete": it contains the end of its run. "unreadable": read again if it changes.
_State = Literal["waiting", "growing", "silent", "closed", "complete", "unreadable"]


@dataclass(slots=True, eq=False)
class _File:
    """A file that is shown.

    Attributes:
        stamp: Size, modification time (ns) and inode at the last look.
        grown_at: When the file last grew (monotonic seconds).
        due: When the file is looked at next (monotonic seconds).
        rests: Whether the data that waits for more was written.
        run_id: Id of the run; None if it is not known yet.
    """

    candidate: Candidate
    state: _State = "waiting"
    stamp: tuple[int, int, int] = (0, 0, 0)
    grown_at: float = 0.0
    due: float = 0.0
    rests: bool = False
    run_id: str | None = None
    identity: str = ""
    problem: str | None = None
    source: GrowingSource | None = None
    out: GrowingOutput | None = None
    earlier: Earlier = field(default_factory=Earlier)

    @property
    def path(self) -> Path:
        return self.candidate.path

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self.grown_at

    @property
    def changed_at(self) -> float:
        return self.stamp[1] / 1e9


@dataclass(frozen=True, slots=True)
class Status:
    """How far the folders are read.

    Attributes:
        files: Number of files that were found.
        read: Number of files that were read to their end.
        growing: Number of files that grow.
        searched: Whether all folders were searched.
        problems: Path and reason of files that cannot be read, or only in part.
    """

    files: int
    read: int
    growing: int
    searched: bool
    problems: list[tuple[str, str]]


class InPlace:
    """Shows the files below folders in a private store, in a thread.

    Args:
        store: The private store.
        tree: The folders.
        projects: Project of the files below each given folder that do not name one.
        entity: Entity of the runs.
        known: The files that an earlier process has read into the store: what ``save`` got.
        save: Called at the end with the files that the store contains; with None if it is not complete.
    """

    def __init__(
        self,
        store: Store,
        tree: FolderTree,
        projects: dict[Path, str],
        entity: str,
        known: dict[str, Any],
        save: Callable[[dict[str, Any] | None], None],
    ) -> None:
        self.store = store
        self._tree = tree
        self._importers = {each: Importer(store, entity, name) for each, name in projects.items()}
        self._known = known
        self._save: Callable[[dict[str, Any] | None], None] | None = save
        self._files: dict[Path, _File] = {}
        self._queue: deque[_File] = deque()
        self._runs: dict[Path, str] = {}  # the run of each folder with tfevents files
        self._open: dict[str, _File] = {}  # by identity
        self._slow: set[_File] = set()  # files that were read in part and wait for the next slice
        self._begun: set[str | None] = set()  # ids of runs
        self._said: set[str] = set()
        self._announced = False
        self._drawn = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._rounds = Rounds(self._round, self._stopped, "Files are not shown")
        self._thread = threading.Thread(target=self._rounds.run, name="tracker-in-place", daemon=True)

    def add(self, found: list[Candidate]) -> None:
        """Show files that were found."""
        for each in found:
            file = _File(each)
            with self._lock:
                self._files[each.path] = file
            known = self._known.get(str(each.path))
            if known is not None:
                file.run_id, file.problem = known["run"], known["problem"]
                if each.kind == "tensorboard":
                    self._runs.setdefault(each.path.parent, known["run"])
                if tuple(known["stamp"]) == _stamp_of(each.path):
                    self._set_stamp(file, tuple(known["stamp"]))
                    file.state = known["state"]
                    continue
            self._queue.append(file)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, end the runs in the store, and save what it contains. Idempotent."""
        save, self._save = self._save, None
        if save is None:
            return
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_EXIT_SECONDS)
        end = time.monotonic() + _EXIT_SECONDS
        for file in list(self._files.values()):
            if file.out is not None and time.monotonic() < end and not self._thread.is_alive():
                self._try(file, self._close)
        save(self._remember())

    def _remember(self) -> dict[str, Any] | None:
        if self._thread.is_alive() or any(file.out is not None for file in self._files.values()):
            return None
        return {
            str(path): {
                "stamp": file.stamp,
                "state": file.state,
                "run": file.run_id,
                "problem": file.problem,
            }
            for path, file in self._files.items()
            if file.run_id is not None and file.state in ("closed", "complete")
        }

    def status(self) -> Status:
        """Return how far the folders are read."""
        with self._lock:
            files = list(self._files.values())
        problems = [(str(path), why) for path, why in list(self._tree.problems.items())]
        for file in files:
            source = file.source  # the thread may set it to None
            damage = list(source.problems) if source is not None else []
            problems += [(str(file.path), why) for why in (*filter(None, [file.problem]), *damage)]
        return Status(
            len(files),
            sum(file.state != "waiting" for file in files),
            sum(file.state == "growing" for file in files),
            self._tree.is_whole,
            problems,
        )

    def _round(self) -> bool:
        """Read what has changed; return True, so that the pauses stay short."""
        self.add(self._tree.look(_LOOK_SECONDS))
        looked_at = time.monotonic()
        while self._queue and not self._stopped.is_set():
            self._try(self._queue.popleft(), self._read_slice)
            self._draw()
            if time.monotonic() - looked_at > _LOOK_SECONDS:
                self._look()
                self.add(self._tree.look(_LOOK_SECONDS / 10))
                looked_at = time.monotonic()
        if self._stopped.is_set():
            return True
        self._look()
        for path, why in list(self._tree.problems.items()):
            self._say(f"{path} cannot be read: {why}")
        if self._tree.is_whole and not self._announced:
            self._announced = True
            found = self.status()
            unread = sum(file.state == "unreadable" for file in self._files.values())
            self._draw(last=True)
            say(
                f"{found.files - unread} of {found.files} files are shown"
                + (f", {found.growing} of them grow" if found.growing else "")
            )
        return True

    def _draw(self, *, last: bool = False) -> None:
        """Show the progress on a terminal."""
        now = time.monotonic()
        is_due = last or (not self._announced and now - self._drawn > _DRAW_SECONDS)
        if not is_due or not is_terminal():
            return
        self._drawn = now
        read = sum(file.state != "waiting" for file in self._files.values())
        with suppress(OSError):
            sys.stderr.write(f"\rtracker: {read} of {len(self._files)} files read" + ("\n" if last else ""))
            sys.stderr.flush()

    def _read_slice(self, file: _File) -> None:
        if file.source is None:
            self._make_source(file)
        if file.source is not None and file.out is None:
            if self._must_wait(file):
                self._queue.append(file)
                return
            self._begin(file)
        if file.out is not None:
            self._read_or_queue(file)

    def _read_or_queue(self, file: _File) -> None:
        self._slow.discard(file)
        if not self._read(file):
            self._slow.add(file)
            self._queue.append(file)

    def _make_source(self, file: _File) -> None:
        kind, path, given = file.candidate
        found = _stamp_of(path)
        if found is None:
            raise UnreadableError("it is gone")
        self._set_stamp(file, found)
        name = _run_name(path, given)
        if kind == "wandb":
            file.source = WandbSource(path)
        elif kind == "tensorboard":
            file.source = TensorboardSource(path, name, self._runs.get(path.parent))
            self._runs.setdefault(path.parent, file.source.origin.run_id)
        else:
            file.source = CsvSource(path, name)
        file.problem = None
        file.run_id = file.source.origin.run_id

    def _must_wait(self, file: _File) -> bool:
        """Return whether another file is read first: an earlier one of the run, or that of its parent."""
        assert file.source is not None
        before = {file.run_id}
        if file.source.parent is not None:
            before.add(file.source.parent.run_id)
            if not before & self._begun and any(other.source is None for other in self._queue):
                return True
        return any(other.run_id in before for other in self._slow)

    def _begin(self, file: _File) -> None:
        assert file.source is not None
        importer = self._importers[file.candidate.given]
        place, identity = importer.locate(file.source)
        other = self._open.get(identity)
        if other is not None and other is not file:
            file.source = None
            file.state = "complete"  # a copy of a file that is shown
            return
        self._open[identity] = file
        self._begun.add(file.run_id)
        file.identity = identity
        earlier = importer.find_earlier(identity)
        if earlier.complete or earlier.deleted:
            file.source = None
            file.state = "complete"
            return
        file.earlier = earlier
        file.out = _open_output(importer, file.source, place, identity, earlier)
        file.source.begin(file.out, earlier.position)

    def _read(self, file: _File) -> bool:
        """Read a slice of a file; return whether its end was reached."""
        assert file.source is not None
        assert file.out is not None
        source, out = file.source, file.out
        end, first = time.monotonic() + _SLICE_SECONDS, None
        is_whole = True
        if (found := _stamp_of(file.path)) is not None and found != file.stamp:
            self._set_stamp(file, found)
        for count, at in enumerate(source.read_more(out, last=False)):
            first = at if first is None else first
            if not count % 64 and (
                time.monotonic() > end or out.waiting > _SLICE_BYTES or self._stopped.is_set()
            ):
                is_whole = False
                break
        file.rests = False
        if not is_whole:
            self._apply(file)
            return False
        if source.complete or file.idle_seconds > CLOSE_SECONDS:
            self._end(file)
        else:
            self._apply(file)
            file.state = "growing"
            self._grow_old(file)
        return True

    def _apply(self, file: _File) -> None:
        assert file.out is not None
        if not file.out.waiting or (file.out.is_empty and file.earlier.segments):
            return
        file.out.flush()
        self._apply_journal(file.out.journal)

    def _apply_journal(self, journal: JournalPath, *, final: bool = False) -> None:
        cold = False
        while (done := apply_journal(self.store, journal, final=final)).records:
            cold = cold or done.cold
            if not done.more:
                break
        if cold:
            from tracker.store.history.compaction import compact, compact_all  # these import pyarrow

            number = self._number_of(journal.segment)
            if final:
                compact_all(self.store, number)
            else:
                compact(self.store, number)

    def _look(self) -> None:
        """Look at the files that may grow, at those that are idle for long less often."""
        now = time.monotonic()
        followed = [file for file in self._files.values() if file.state not in ("waiting", "complete")]
        queued = set(map(id, self._queue))
        for file in followed:
            if file.due <= now and id(file) not in queued and not self._stopped.is_set():
                self._try(file, self._look_at)
                pause = min(IDLE_SHARE * file.idle_seconds, len(followed) / LOOKS_PER_SECOND)
                file.due = time.monotonic() + pause if len(followed) > FEW else 0.0

    def _look_at(self, file: _File) -> None:
        found = _stamp_of(file.path)
        if found == file.stamp:
            if file.out is not None:
                self._grow_old(file)
            return
        if found is None:
            self._say(f"{file.path} is gone. The page shows what it contained")
            if file.out is not None:
                self._end(file)
            file.state = "complete"
            return
        is_replaced = found[2] != file.stamp[2] or found[0] < file.stamp[0]
        if is_replaced and file.candidate.kind != "csv" and file.state != "unreadable":
            file.problem = "it was replaced by another file: run tracker open again"
            self._say(f"{file.path}: {file.problem}")
            if file.out is not None:
                self._end(file)
            file.state = "complete"
            return
        self._set_stamp(file, found)
        if file.out is None:
            self._queue.append(file)
        else:
            self._read_or_queue(file)

    def _grow_old(self, file: _File) -> None:
        """Write what waits for more, and apply the rule of silence."""
        assert file.source is not None
        assert file.out is not None
        idle = file.idle_seconds
        if idle > CLOSE_SECONDS:
            self._end(file)
            return
        if idle > _REST_SECONDS and not file.rests:
            file.rests = True
            file.source.rest(file.out)
            file.out.rest()
            self._apply(file)
        if idle > MISSED_SECONDS and file.state == "growing":
            file.state = "silent"
            self._finish(file, silent_since=file.changed_at)

    def _end(self, file: _File) -> None:
        """Read what is left, also if it is damaged. Write the end of the segment."""
        assert file.source is not None
        assert file.out is not None
        for _ in file.source.read_more(file.out, last=True):
            pass
        self._close(file)

    def _close(self, file: _File) -> None:
        """Write the end of a segment. If the file grows after this, the rest becomes another segment."""
        source, out = file.source, file.out
        assert source is not None
        assert out is not None
        try:
            source.end(out)
            if out.problems:
                file.problem = "; ".join(out.problems[:3])
                self._say(f"{file.path}: {file.problem}")
            if not (file.earlier.segments and out.is_empty and source.position == file.earlier.position):
                out.end(describe(source))
                self._apply_journal(out.journal, final=True)
                if not out.finished:
                    self._finish(file)
                # The segment is not sealed, because that takes longer than all the rest for a small file.
                # The catalog has all its rows, and is never rebuilt.
                out.journal.path.unlink()
        finally:
            file.source = file.out = None
            self._open.pop(file.identity, None)
        file.state = "complete" if source.complete else "closed"

    def _finish(self, file: _File, silent_since: float | None = None) -> None:
        """Record the end of a run whose file does not contain it."""
        assert file.out is not None
        if file.candidate.kind == "wandb":
            gone = Gone("host silent", file.changed_at)
            finish_segment(self.store, file.out.segment, "crashed", silent_since, gone)
        else:  # these files do not say how a run ends
            finish_segment(self.store, file.out.segment, "finished", silent_since)

    def _number_of(self, name: str) -> int:
        with self.store.reading() as session:
            return session.scalars(select(Segment.id).where(Segment.segment == name)).one()

    def _try(self, file: _File, action: Any) -> None:
        """Do something with a file. An error concerns only this file."""
        try:
            action(file)
        except (UnreadableError, WireError, OSError, Error) as error:
            if isinstance(error, OSError):
                file.problem = error.strerror or str(error)
            else:
                file.problem = str(error).splitlines()[0]
            self._fail(file)
        except Exception as error:
            logs.log(logs.ERROR, f"{file.path} cannot be shown", error)
            file.problem = f"{type(error).__name__}: {error}"
            self._fail(file)

    def _fail(self, file: _File) -> None:
        if file.identity:
            self._open.pop(file.identity, None)
        file.source = file.out = None
        self._slow.discard(file)
        file.state = "unreadable"
        if file.idle_seconds > MISSED_SECONDS:  # a new file may be empty for a moment
            self._say(f"{file.path} cannot be shown: {file.problem}")

    def _set_stamp(self, file: _File, stamp: tuple[int, int, int]) -> None:
        if file.stamp == (0, 0, 0):  # the time of a file server may be in the future
            file.grown_at = time.monotonic() - max(time.time() - stamp[1] / 1e9, 0.0)
        else:
            file.grown_at = time.monotonic()
        file.stamp = stamp

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            say(printable(text))


def _open_output(
    importer: Importer, source: GrowingSource, place: RunPath, identity: str, earlier: Earlier
) -> GrowingOutput:
    return importer.output(source, place, identity, earlier, GrowingOutput)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _run_name(path: Path, given: Path) -> str:
    """Return the name of a run: the path of its folder below the given one."""
    folder = path.parent
    return _text(folder.resolve().name if folder == given else folder.relative_to(given).as_posix())


def project_names(folders: list[Path]) -> dict[Path, str]:
    """Return a project for each folder: its name, with names above it if several have the same."""
    found: dict[Path, str] = {}
    for folder in folders:
        parts = [part for part in folder.resolve().parts if part != os.sep] or ["files"]
        count = 1
        while (name := _as_project("-".join(parts[-count:]))) in found.values() and count < len(parts):
            count += 1
        number = 2
        while name in found.values():
            name = f"{_as_project(parts[-1])}-{number}"
            number += 1
        found[folder] = name
    return found


def _as_project(text: str) -> str:
    return re.sub(r"[/\\#?%:\x00-\x1f]", "-", _text(text))[-128:]


def _text(path: str) -> str:
    """Return a path as text. Bytes that are not UTF-8 are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")
