"""Fetching an artifact's files from a server over several connections, each verified before it is named."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from tracker.errors import AuthenticationError, CommError, ConflictError, NotFoundError
from tracker.ground.http import Client
from tracker.ground.read_models import ArtifactDetail
from tracker.ground.terminal import Progress
from tracker.reading.transfer.partial_file import RANGE, PartialFile
from tracker.reading.transfer.place_file import checksum_error, write_small_file
from tracker.reading.transfer.request_plan import Content, Plan, Span, Wanted, make_plan
from tracker.recorder.outbox import Remote
from tracker.store.blobs.manifest import Entry

CONNECTIONS = 3
# What is read at once: half of a core's cache, so that the file is written from there.
PIECE = 512 * 1024
# A lost connection is tried again so often before it is given up, if no byte came meanwhile.
TRIES = 6
FIRST_WAIT = 0.1
_Job = Callable[[Client, memoryview], None]


def fetch_files(
    remote: Remote,
    place: tuple[str, ...],
    artifact: ArtifactDetail,
    wanted: Sequence[Wanted],
    *,
    silent: bool = False,
) -> None:
    """Write files of a version to paths. What was broken off before goes on where it stopped.

    Raises:
        ArtifactError: A byte is wrong; names the file.
        CommError: The server cannot be reached, or refuses.
        NotFoundError: It has not the content of a file; names the file.
    """
    again = _Fetch(remote, place, artifact).run(wanted, silent)
    if again:  # bytes of an earlier download were wrong: those of the server may be right
        _Fetch(remote, place, artifact).run(again, silent)


class _Fetch:
    """The threads of one download: some fetch, and one for each file of several ranges hashes it."""

    def __init__(self, remote: Remote, place: tuple[str, ...], artifact: ArtifactDetail) -> None:
        self._place = place
        self._artifact = artifact
        self._clients = [Client(remote.url, remote.key) for _ in range(CONNECTIONS)]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._open: list[_File] = []
        self._again: list[Wanted] = []

    def run(self, wanted: Sequence[Wanted], silent: bool) -> list[Wanted]:
        """Fetch files; return those that went on with bytes which were wrong."""
        plan = make_plan(wanted)
        name = f"{self._artifact.name}:{self._artifact.version}"
        self._progress = Progress(f"downloading {name}", plan.size, silent=silent)
        self._jobs = self._all_jobs(plan)
        threads = [_start(self._work, client) for client in self._clients]
        try:
            for thread in threads:
                thread.join()
            for file in list(self._open):
                file.join()
        except BaseException as error:  # Ctrl-C
            self._fail(error)
        for thread in threads:
            thread.join()
        for file in list(self._open):
            file.join()
            file.part.close()
        self._progress.close(whole=self._error is None)
        if self._error is not None:
            raise self._error
        return self._again

    def _all_jobs(self, plan: Plan) -> Iterator[_Job]:
        """Yield what threads do, in order; a file is opened when its first range is due."""
        for entry, target in plan.empty:
            self._write(entry, target, memoryview(b""))
        for content in plan.contents:
            file = _File(content)
            self._open.append(file)
            self._progress.skip(file.part.resumed)
            if file.part.ranges > 1:
                file.follower = _start(self._follow, file)
            for index in range(file.part.ranges):
                yield partial(self._fetch_range, file, index)
        for span in plan.spans:
            yield partial(self._fetch_span, span)

    def _work(self, client: Client) -> None:
        buffer = memoryview(bytearray(PIECE))
        try:
            while not self._stop.is_set():
                with self._lock:
                    job = next(self._jobs, None)
                if job is None:
                    break
                job(client, buffer)
        except BaseException as error:
            self._fail(error)
        finally:
            client.close()

    def _follow(self, file: _File) -> None:
        try:
            if file.part.hash_all():
                self._finish(file)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End all threads; the first error is the one that is told."""
        if self._error is None:
            self._error = error
        self._stop.set()
        for client in self._clients:
            client.abort()
        for file in list(self._open):
            file.part.stop()

    def _fetch_range(self, file: _File, index: int, client: Client, buffer: memoryview) -> None:
        part, content = file.part, file.content
        done, length = part.done[index], part.length(index)
        start = content.offset + index * RANGE + done
        for piece in self._bytes(client, buffer, content.blob, start, length - done, content.files[0][0]):
            part.write(index, piece)
            self._progress.add(len(piece))
            if file.follower is None:
                part.hash_rest()
        if self._stop.is_set():
            return
        if part.done[index] != length:  # the server's copy is shorter than it should be
            part.discard()
            raise checksum_error(self._artifact, content.files[0][0])
        if file.follower is None:
            part.hash_rest()  # also what lay there, where nothing was left to fetch
            self._finish(file)

    def _finish(self, file: _File) -> None:
        """Give a file its name, if it is right."""
        right = file.part.is_right()
        if right:
            file.part.keep([target for _, target in file.content.files])
        else:
            file.part.discard()
            if not file.part.resumed:
                raise checksum_error(self._artifact, file.content.files[0][0])
        with self._lock:
            self._open.remove(file)
            self._again += [] if right else file.content.files
        file.part.close()

    def _fetch_span(self, span: Span, client: Client, buffer: memoryview) -> None:
        data = memoryview(bytearray(span.end - span.start))
        done = 0
        for piece in self._bytes(client, buffer, span.blob, span.start, len(data), span.files[0][0]):
            data[done : done + len(piece)] = piece
            done += len(piece)
            self._progress.add(len(piece))
        for entry, target in span.files:
            if self._stop.is_set():
                return
            at = entry.offset - span.start
            self._write(entry, target, data[at : min(at + entry.size, done)])

    def _write(self, entry: Entry, target: str, data: memoryview) -> None:
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise checksum_error(self._artifact, entry)
        write_small_file(target, data)

    def _bytes(
        self, client: Client, buffer: memoryview, blob: str, start: int, size: int, first: Entry
    ) -> Iterator[memoryview]:
        """Yield bytes of a blob, as many as there are; a lost connection goes on where it stopped."""
        done = tries = 0
        while done < size:
            try:
                for piece in client.stream_range(
                    *self._place, "blobs", blob, start=start + done, size=size - done, buffer=buffer
                ):
                    done, tries = done + len(piece), 0
                    yield piece
                    if self._stop.is_set():
                        break
                return
            except NotFoundError as error:
                raise NotFoundError(f"{first.path}: {error.message}") from error
            except CommError as error:
                tries += 1
                if isinstance(error, AuthenticationError | ConflictError) or tries == TRIES:
                    raise
                if self._stop.wait(FIRST_WAIT * 2**tries):
                    return


class _File:
    """A content that is on its way, and the thread that computes its digest, if it has one."""

    def __init__(self, content: Content) -> None:
        entry, target = content.files[0]
        self.content = content
        self.part = PartialFile(target, entry.sha256, content.size)
        self.follower: threading.Thread | None = None

    def join(self) -> None:
        """Wait for the digest."""
        if self.follower is not None:
            self.follower.join()


def _start(work: Callable[..., None], of: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=(of,), name="tracker-fetch", daemon=True)
    thread.start()
    return thread
