"""Download of an artifact's files over several connections. Each file is verified before it gets its name."""

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
# The size of one read: half of a core's cache, so that the write takes the bytes from the cache.
PIECE_BYTES = 512 * 1024
# The maximum number of failed requests in a row without any received byte.
TRIES = 6
# The wait before the first retry is twice this time in seconds. It doubles with each retry.
FIRST_WAIT = 0.1
_Job = Callable[[Client, memoryview], None]


def fetch_files(
    remote: Remote,
    version_path: tuple[str, ...],
    artifact: ArtifactDetail,
    wanted: Sequence[Wanted],
    *,
    silent: bool = False,
) -> None:
    """Download files of a version. An interrupted download resumes from its partial files.

    Args:
        remote: The server.
        version_path: The parts of the version's path on the server.
        artifact: The version.
        wanted: The entries of the files, each with its target path.
        silent: Whether to hide the progress.

    Raises:
        ArtifactError: The content of a file does not match its checksum. The message names the file.
        CommError: The server cannot be reached, or refuses a request.
        NotFoundError: The server does not have the content of a file. The message names the file.
    """
    retry = _Fetch(remote, version_path, artifact).run(wanted, silent)
    if retry:  # the partial file of an earlier download had wrong bytes, so download the whole file
        _Fetch(remote, version_path, artifact).run(retry, silent)


class _Fetch:
    """One download. Some threads fetch bytes; a file of several ranges also has a thread that hashes it."""

    def __init__(self, remote: Remote, version_path: tuple[str, ...], artifact: ArtifactDetail) -> None:
        self._version_path = version_path
        self._artifact = artifact
        self._clients = [Client(remote.url, remote.key) for _ in range(CONNECTIONS)]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._open: list[_File] = []
        self._retry: list[Wanted] = []

    def run(self, wanted: Sequence[Wanted], silent: bool) -> list[Wanted]:
        """Fetch files; return the files to fetch again, because their partial files had wrong bytes."""
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
        return self._retry

    def _all_jobs(self, plan: Plan) -> Iterator[_Job]:
        """Yield the jobs of the threads in order. A file is opened when its first range is next."""
        for entry, target in plan.empty:
            self._write(entry, target, memoryview(b""))
        for content in plan.contents:
            file = _File(content)
            self._open.append(file)
            self._progress.skip(file.part.resumed)
            if file.part.ranges > 1:
                file.hasher = _start(self._hash_file, file)
            for index in range(file.part.ranges):
                yield partial(self._fetch_range, file, index)
        for span in plan.spans:
            yield partial(self._fetch_span, span)

    def _work(self, client: Client) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
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

    def _hash_file(self, file: _File) -> None:
        try:
            if file.part.hash_all():
                self._finish(file)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Stop all threads. ``run`` raises the first error."""
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
        for piece in self._read_blob(client, buffer, content.blob, start, length - done, content.files[0][0]):
            part.write(index, piece)
            self._progress.add(len(piece))
            if file.hasher is None:
                part.hash_rest()
        if self._stop.is_set():
            return
        if part.done[index] != length:  # the server's copy is too short
            part.discard()
            raise checksum_error(self._artifact, content.files[0][0])
        if file.hasher is None:
            part.hash_rest()  # if the partial file was complete, the loop above did not hash it
            self._finish(file)

    def _finish(self, file: _File) -> None:
        """Give a file its name if its content is valid."""
        valid = file.part.is_valid()
        if valid:
            file.part.publish([target for _, target in file.content.files])
        else:
            file.part.discard()
            if not file.part.resumed:
                raise checksum_error(self._artifact, file.content.files[0][0])
        with self._lock:
            self._open.remove(file)
            self._retry += [] if valid else file.content.files
        file.part.close()

    def _fetch_span(self, span: Span, client: Client, buffer: memoryview) -> None:
        data = memoryview(bytearray(span.end - span.start))
        done = 0
        for piece in self._read_blob(client, buffer, span.blob, span.start, len(data), span.files[0][0]):
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

    def _read_blob(
        self, client: Client, buffer: memoryview, blob: str, start: int, size: int, first: Entry
    ) -> Iterator[memoryview]:
        """Yield up to ``size`` bytes of a blob. After a lost connection, the next request resumes."""
        done = tries = 0
        while done < size:
            try:
                for piece in client.stream_range(
                    *self._version_path, "blobs", blob, start=start + done, size=size - done, buffer=buffer
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
    """A content during its download, with the thread that computes its digest, if there is one."""

    def __init__(self, content: Content) -> None:
        entry, target = content.files[0]
        self.content = content
        self.part = PartialFile(target, entry.sha256, content.size)
        self.hasher: threading.Thread | None = None

    def join(self) -> None:
        """Wait for the thread that computes the digest."""
        if self.hasher is not None:
            self.hasher.join()


def _start(work: Callable[..., None], of: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=(of,), name="tracker-fetch", daemon=True)
    thread.start()
    return thread
