"""Servers and recorders that are forked from a process which has already imported their modules.

Imports are most of the CPU time of such a process: 0.8 of the 0.9 s of a server that starts and ends, for
example. A forked one runs the same code from ``main`` on, in its own process, with the given arguments,
variables and folder. Tests of the start itself use ``subprocess``. Scripts ask at a socket for the recorders
of their runs: see ``started/sitecustomize.py``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

# Some of these are imported by the others only when they run.
MODULES = (
    "tracker.cli.main",
    "server.main",
    "tracker.recorder.startup",
    "tracker.recorder.main",
    "tracker.recorder.send",
    "tracker.recorder.finalizer",
    "tracker.recorder.follow",
    "tracker.api.api",
    "tracker.reading.local",
    "tracker.reading.remote",
)
MOST = 100_000  # bytes of a request
TEMPORARY = tempfile.gettempdir()  # before a test changes it

_template: Template | None = None


class Forked:
    """A forked process; it has the methods of ``subprocess.Popen`` that tests use.

    Attributes:
        pid: Its process id.
        returncode: Its exit status, or minus the signal that ended it. None until ``poll`` or ``wait`` saw
            its end.
        stdout: What it prints, unless its output was redirected.
        stderr: Its error output.
    """

    def __init__(self, status: int, stdout: IO[str] | None = None, stderr: IO[str] | None = None) -> None:
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self.returncode: int | None = None
        self.stdout, self.stderr = stdout, stderr

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when the process has ended."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended after poll looked
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork_command(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Forked:
    """Fork the command ``tracker`` with these arguments. Its output and its errors can be read."""
    out, err = os.pipe(), os.pipe()
    with open(os.devnull) as nothing:
        status = _fork("tracker.cli.main", arguments, folder, environment, [nothing.fileno(), out[1], err[1]])
    os.close(out[1])
    os.close(err[1])
    return Forked(status, os.fdopen(out[0]), os.fdopen(err[0]))


def run_command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Fork the command ``tracker`` with these arguments, and wait for its end."""
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        files = [nothing.fileno(), out.fileno(), err.fileno()]
        process = Forked(_fork("tracker.cli.main", arguments, folder, environment, files))
        try:
            status = process.wait(timeout=100)  # less than the limit of a test
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(["tracker", *arguments], status, out.read(), err.read())


def fork_recorder(failures: str, store: str, lock: int) -> int:
    """Fork a recorder that inherits the descriptor of its lock; return its process id."""
    with open(os.devnull, "r+b", buffering=0) as nothing:
        files = [nothing.fileno()] * 3
        arguments = [failures, store, "3"]
        status = _fork("tracker.recorder.startup", arguments, Path.cwd(), os.environ, [*files, lock])
    with os.fdopen(status) as answer:
        return int(answer.readline())


def _fork(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], files: list[int]
) -> int:
    """Fork a process that calls ``main`` of a module; return the descriptor that tells its id and its status.

    Args:
        module: The module.
        arguments: Arguments of ``main``.
        folder: Working folder.
        environment: Its environment.
        files: Its descriptors 0, 1, 2 and so on.
    """
    request = {
        "module": module,
        "arguments": list(arguments),
        "folder": str(folder),
        "environment": dict(environment),
        "umask": _umask(),
    }
    answer, status = os.pipe()
    template().send(json.dumps(request).encode(), [status, *files])
    os.close(status)
    return answer


def template() -> Template:
    """Return the process that this process forks. The first call starts it."""
    global _template
    if _template is None or _template.owner != os.getpid():
        _template = Template()
    return _template


def _umask() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)


class Template:
    """The process that is forked. It ends with the process that made it.

    Attributes:
        owner: Process id of the process that made it.
        path: Path of the socket at which scripts ask for recorders.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST)
        self._socket = own
        self.path = f"{tempfile.mkdtemp(prefix='tests-', dir=TEMPORARY)}/fork"
        root = Path(__file__).resolve().parents[1]
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as scripts:
            scripts.bind(self.path)
            scripts.listen(100)
            subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), str(scripts.fileno())],
                env={**os.environ, "PYTHONPATH": str(root)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), scripts.fileno()],
                start_new_session=True,
            )

    def send(self, request: bytes, files: list[int]) -> None:
        """Send a request with descriptors."""
        socket.send_fds(self._socket, [request], files)


def main(descriptor: int, listening: int) -> None:
    """Fork a process for each request on a socket, until its other end is closed.

    Args:
        descriptor: The socket of the process that started this one.
        listening: The socket at which scripts connect; each sends one request.
    """
    del sys.path[0]  # this file's folder: its modules must not hide others
    for module in MODULES:
        import_module(module)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot be forked"
    gc.freeze()  # a collection in a forked process would copy the memory of all these objects
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=descriptor) as requests, socket.socket(fileno=listening) as scripts:
        while True:
            ready = select.select([requests, scripts], [], [])[0][0]
            with scripts.accept()[0] if ready is scripts else contextlib.nullcontext(requests) as asking:
                request, files, _, _ = socket.recv_fds(asking, MOST, 10)
            if not request and ready is requests:
                shutil.rmtree(Path(scripts.getsockname()).parent)
                return
            if request and os.fork() == 0:
                break
            for file in files:
                os.close(file)
    _keep(files[0], json.loads(request), files[1:])()


def _reap(*_: object) -> None:
    """Collect ended children. Ignoring SIGCHLD would too, but then no process counts their CPU time."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass


def _keep(status: int, request: dict, files: list[int]) -> Callable[[], None]:
    """Fork the process, and report its id and its exit status. Return only in the new process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        return _prepare(request, files)
    for file in files:
        os.close(file)
    with contextlib.suppress(BrokenPipeError):  # no process waits for a recorder
        os.write(status, f"{pid}\n".encode())
        _, ended = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _prepare(request: dict, files: list[int]) -> Callable[[], None]:
    """Give this process the requested descriptors, folder and environment; return its ``main``."""
    from tracker.ground import launch

    if request["module"] != "tracker.cli.main":
        os.setsid()
    high = [os.dup2(file, 100 + at, inheritable=False) for at, file in enumerate(files)]
    for file in files:
        os.close(file)
    for at, file in enumerate(high):
        os.dup2(file, at)
        os.close(file)
    os.umask(request["umask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    launch._launched_in = request["folder"]
    sys.argv = [request["module"], *request["arguments"]]
    return lambda: import_module(request["module"]).main(request["arguments"])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
