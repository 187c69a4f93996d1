"""Each Python process of a test imports this file at its start: it lets the recorders of scripts be forked.

The start of a recorder is replaced when its module is imported, so that nothing else changes for the script.
``forking.py`` has the other side.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

MODULE = "tracker.recorder.election"
VARIABLE = "TEST_FORKS_RECORDERS"  # the socket of the process that is forked, and its namespaces


def namespaces() -> str:
    """Return what tells the namespaces of this process from others."""
    return "-".join(str(os.stat(f"/proc/self/ns/{name}").st_ino) for name in ("mnt", "net", "pid", "uts"))


def fork_recorder(failures: str, store: str, lock: int) -> int | None:
    """Ask for a recorder; return its process id, or None if it has to be started as users start it."""
    import json
    import socket

    path, _, others = os.environ.get(VARIABLE, "").rpartition(":")
    try:
        if others != namespaces() or os.stat(path).st_uid != os.geteuid():
            return None
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.connect(path)
    except OSError:  # the tests have ended
        return None
    with open("/proc/self/status") as file:
        umask = next(line.split()[1] for line in file if line.startswith("Umask:"))
    request = {
        "module": "tracker.recorder.startup",
        "arguments": [failures, store, "3"],
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": int(umask, 8),
    }
    answer, status = os.pipe()
    with ours, open(os.devnull, "r+b", buffering=0) as nothing, open(answer) as reading:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        socket.send_fds(ours, [json.dumps(request).encode()], [status, *[nothing.fileno()] * 3, lock])
        os.close(status)
        return int(reading.readline())


class Finder:
    """Imports ``MODULE`` with another function that starts recorders."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the module's specification; None for all others."""
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            start = module._start

            def fork(layout: Any, lock: int) -> int:
                failures = layout.recorder_failures(module.host_name())
                return fork_recorder(str(failures), str(layout.root), lock) or start(layout, lock)

            module._start = fork  # type: ignore[attr-defined]

        loader.exec_module = exec_module
        return spec


if VARIABLE in os.environ:
    sys.meta_path.insert(0, Finder())
