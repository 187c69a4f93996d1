"""The journal of an imported segment, which an importer fills with records."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import msgspec

from tracker.capture.terminal_lines import Line, Screen
from tracker.errors import UsageError
from tracker.ground.group_files import create
from tracker.ground.processes import host_name
from tracker.ground.records import (
    ASIDE,
    COMMIT,
    ArtifactLogged,
    ConfigChanged,
    ConsoleLines,
    FileSaved,
    Record,
    Row,
    RunFinished,
    RunStarted,
    SystemSample,
    pack,
)
from tracker.journal.format import MAX_PAYLOAD, checksum_seed, pack_frame, pack_header
from tracker.store.blobs.content import CHUNK, BlobStore
from tracker.store.blobs.drafts import Draft, DraftEntry
from tracker.store.catalog.locks import shared
from tracker.store.objects.atomic_files import claim, make_folder
from tracker.store.objects.digests import Digests
from tracker.store.objects.layout import JournalPath, Layout

# Lines of printed output in one record.
_CHUNK_LINES = 500
_BUFFER = 1024 * 1024


class Output:
    """Takes the records of one source and writes them to a journal.

    The journal has a temporary name until ``publish``. Therefore an interrupted import leaves nothing in the
    store. The store's naming lock is held, so that garbage collection keeps the contents of new files.

    Args:
        layout: The store; None to count only.
        segment: Id of the new segment.
        fields: Fields of the first record that the importer determines: entity, project, attempt, ....
        before: Whether earlier segments contain the beginning of the source. Then this segment repeats
            neither the config nor the name of the run.
        last_step: The last step of the run in earlier segments of this source, or None.
        run_step: The last step of earlier attempts of the run, or None.
        run_seconds: Duration of earlier attempts of the run, in seconds.
        source: The file or folder that is read.
        copy: Sets ``copied`` and ``copied_files`` for a run that was forked, and returns its first record.

    Attributes:
        copied: Rows of another run that come before the rows of the source: step, time and values.
        copied_files: Files of another run that the copied rows name.
        muted: Whether records are ignored, because an earlier import has written them.
        internal: The ``_wandb`` key of the run's config.
        rows: Number of rows that were written.
        files: Number of files that were written.
        artifacts: Number of artifacts that were written.
        problems: Data of the source that is not imported: one line for each problem.
    """

    def __init__(
        self,
        layout: Layout | None,
        segment: str,
        fields: Mapping[str, Any],
        *,
        before: bool = False,
        last_step: int | None = None,
        run_step: int | None = None,
        run_seconds: float = 0.0,
        copy: Callable[[Output, RunStarted], RunStarted] | None = None,
        source: Path | None = None,
    ) -> None:
        self.segment = segment
        self._owner = None if source is None else source.stat().st_uid
        self.muted = False
        self.internal: dict[str, Any] = {}
        self.rows = self.files = self.artifacts = 0
        self.problems: list[str] = []
        self.started: RunStarted | None = None
        self.last_time = 0.0
        self.finished = False
        self.run_step = run_step
        self.run_seconds = run_seconds
        self.copied: list[tuple[int, float, dict[str, Any]]] = []
        self.copied_files: list[FileSaved] = []
        self._copy = copy
        self._fields = dict(fields)
        self._before = before
        self._last_step = last_step
        self._layout = layout
        self._sequence = 0
        self._row = 0
        self._screen: Screen | None = None
        self._lines: dict[int, Line] = {}
        self._lines_time = 0.0
        self._closing = ExitStack()
        self._temporary: Path | None = None
        self._tokens: list[str] = []
        self._seed = checksum_seed(segment)
        if layout is not None:
            self._file = self._open(layout)
            self._file.write(pack_header(segment, 0))
            self._blobs = BlobStore(layout)

    def _open(self, layout: Layout) -> IO[bytes]:
        make_folder(layout.temporary, durable=False)
        self._closing.enter_context(shared(layout.naming_lock))
        self._temporary = layout.new_temporary()
        descriptor = create(self._temporary, os.O_WRONLY | os.O_EXCL)
        return self._closing.enter_context(os.fdopen(descriptor, "wb", buffering=_BUFFER))

    @property
    def continues(self) -> bool:
        """Whether earlier segments contain the beginning of the source."""
        return self._before

    @property
    def is_empty(self) -> bool:
        """Whether no record was written except the first one."""
        return self._sequence <= 1

    @property
    def last_step(self) -> int | None:
        """The largest step so far."""
        return self._last_step

    def follow(self, step: int) -> None:
        """Hide no earlier row of the run up to a step. Later segments of a source never hide rows."""
        if self._last_step is None:
            self._last_step = step

    def begin(self, started: RunStarted) -> None:
        """Write the first record of the segment."""
        if self._before:
            nothing = dict.fromkeys(("name", "group", "job_type", "tags", "notes", "program"))
            started = msgspec.structs.replace(started, **nothing, config={})
        elif self._copy is not None:
            started = self._copy(self, started)
        self.started = msgspec.structs.replace(started, **self._fields)
        self.last_time = max(self.last_time, started.time)
        self._write(pack(self.started))
        for saved in self.copied_files:
            self._write(pack(saved))
        for row in self.copied:
            self.row(*row)
        self.copied_files, self.copied = [], []

    def put(self, record: Record) -> None:
        """Write a record that is not a row."""
        if not self.muted:
            if isinstance(record, SystemSample):
                self.last_time = max(self.last_time, record.time)
            self._write(pack(record))

    def row(self, step: int, when: float, data: dict[str, Any]) -> None:
        """Write a row of plain values.

        Args:
            step: The step. A step that is not larger than all earlier ones is allowed.
            when: Time in unix seconds.
            data: The values by key.
        """
        flags = COMMIT
        if self._last_step is None or step > self._last_step:
            self._last_step = step
        else:
            flags |= ASIDE
        if self.muted:
            return
        if when > self.last_time:
            self.last_time = when
        self.rows += 1
        self._row += 1
        self._write(pack(Row(self._row, step, flags, when, data)))

    def print(self, stream: int, when: float, text: str) -> None:
        """Write printed text.

        Args:
            stream: 1 for stdout, 2 for stderr.
            when: Time in unix seconds.
            text: Any part of the output, with its control characters.
        """
        if self.muted:
            return
        if self._screen is None:
            self._screen = Screen()
        self._screen.feed(stream, text)
        self._lines_time = when
        self.last_time = max(self.last_time, when)
        if "\n" in text:
            self._lines.update((line[0], line) for line in self._screen.take(drawing=False))
            if len(self._lines) >= _CHUNK_LINES:
                self._flush_lines()

    def file(self, path: str, content: Path | bytes, mimetype: str | None = None) -> FileSaved | None:
        """Store a file of the run.

        Args:
            path: Path of the file in the run.
            content: The file on disk, or the content.
            mimetype: The media type. By default, the ending of ``path`` decides.

        Returns:
            The record of the file; None if it was not written.
        """
        if self.muted:
            return None
        from mimetypes import guess_type

        kind = mimetype or guess_type(path)[0] or "application/octet-stream"
        if isinstance(content, Path) and (fault := self._fault_of(content)):
            self.problems.append(f"the file {path} {fault}")
            return None
        if self._layout is None:
            self.files += 1
            return None
        blob = self._blobs.add_bytes(content) if isinstance(content, bytes) else self._add_file(content)
        saved = FileSaved(path, blob.sha256, blob.size, kind)
        self._write(pack(saved))
        self.files += 1
        return saved

    def _add_file(self, path: Path) -> Digests:
        with path.open("rb") as file:
            return self._blobs.add_chunks(iter(lambda: file.read(CHUNK), b""))

    def _fault_of(self, file: Path) -> str:
        """Return why a file is not imported; an empty text if it is.

        A source that another person wrote can name any file, also by a symbolic link. A private file of a
        third person must not come into a store that others read.
        """
        if not file.is_file():
            return "is missing"
        found = file.stat()
        private = not found.st_mode & stat.S_IROTH
        if private and self._owner is not None and found.st_uid != self._owner:
            return "is a private file of another user than the owner of the source"
        return ""

    def artifact(self, record: ArtifactLogged, entries: Mapping[str, Path | Any]) -> None:
        """Store an artifact.

        Args:
            record: The record without digest, size and draft.
            entries: By path inside the artifact: the file on disk, or an ``Entry`` of a reference.
        """
        if self.muted:
            return
        faults = [
            f"{path} {fault}"
            for path, each in entries.items()
            if isinstance(each, Path) and (fault := self._fault_of(each))
        ]
        if faults:
            self.problems.append(
                f"artifact {record.name} is not imported: {faults[0]}"
                + (f", and {len(faults) - 1} other files" if len(faults) > 1 else "")
            )
            return
        self.artifacts += 1
        if self._layout is None:
            return
        draft = Draft(self._layout)
        self._tokens.append(draft.token)
        found = [
            DraftEntry(path, captured=draft.capture_file(each))
            if isinstance(each, Path)
            else DraftEntry(path, stored=each)
            for path, each in entries.items()
        ]
        draft.finish(found)
        self._write(
            pack(
                msgspec.structs.replace(
                    record,
                    draft=draft.token,
                    size=sum(each.size for each in found),
                    file_count=len(found),
                )
            )
        )

    def finish(self, state: str, when: float | None = None, **fields: Any) -> None:
        """Note the end of the run. ``publish`` writes the record as the last one.

        Args:
            state: ``"finished"``, ``"failed"`` or ``"preempted"``.
            when: Time in unix seconds; by default that of the last record.
            fields: More fields of ``RunFinished``.
        """
        self.finished = True
        self._end = (state, when, fields)

    def publish(self, imported: dict[str, Any]) -> JournalPath | None:
        """Give the journal its name, after the data is on the disk.

        Args:
            imported: Origin of the segment, and how far its source was read; stored in the config.

        Returns:
            The journal; None if another process has imported the same source meanwhile.
        """
        self._write_end(imported)
        if self._layout is None or self._temporary is None:
            return None
        self._file.flush()
        os.fsync(self._file.fileno())
        path = self._layout.journal(host_name(), self.segment, 0)
        make_folder(path.parent)
        if not claim(self._temporary, path):
            return None
        self._tokens.clear()
        return JournalPath(path, self.segment, 0)

    def _write_end(self, imported: dict[str, Any]) -> None:
        self.muted = False
        self._flush_lines(last=True)
        self._write(pack(ConfigChanged({"_wandb": {**self.internal, "imported": imported}})))
        if self.finished:
            state, when, fields = self._end
            self._write(pack(RunFinished(when or self.last_time, state, **fields)))

    def close(self) -> None:
        """Remove the temporary file, and the drafts of artifacts if the journal was not published."""
        from tracker.store.blobs.finalize import discard_draft

        self._closing.close()
        if self._layout is not None and self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            for token in self._tokens:
                discard_draft(self._layout, token)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _flush_lines(self, *, last: bool = False) -> None:
        if last and self._screen is not None:
            self._lines.update((line[0], line) for line in self._screen.take(drawing=True))
        if self._lines:
            lines = [self._lines[number] for number in sorted(self._lines)]
            self._lines = {}
            self._write(pack(ConsoleLines(self._lines_time, lines)))

    def _write(self, payload: bytes) -> None:
        if self._layout is not None:
            if len(payload) > MAX_PAYLOAD:
                raise UsageError(f"A record has {len(payload)} bytes; the limit is {MAX_PAYLOAD}.")
            self._file.write(pack_frame(payload, self._sequence, self._seed))
        self._sequence += 1
