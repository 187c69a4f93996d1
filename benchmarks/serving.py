"""A running ``tracker server``, and a client with one persistent connection."""

from __future__ import annotations

import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.measuring import ScriptError, environment

ADDRESS = re.compile(r"tracker server: http://127\.0\.0\.1:(\d+) ")
RUNS = "/api/v1/projects/local/benchmark/runs"


class Server:
    """A client of a server that also reads the server's resource use."""

    def __init__(self, process: subprocess.Popen[Any], port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process = process
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def again(self) -> Server:
        """Return another client of the same server, with its own connection."""
        return Server(self._process, self.port)

    def get(self, path: str, **query: Any) -> bytes:
        """Return the body of an answer.

        Raises:
            ScriptError: The server refused the request.
        """
        self._connection.request("GET", path + ("?" + urlencode(query, doseq=True) if query else ""))
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ScriptError(f"{path}: {answer.status} {body[:500]!r}")
        return body

    def seconds(self, path: str, **query: Any) -> float:
        """Return the duration of an answer in seconds."""
        start = time.perf_counter()
        self.get(path, **query)
        return time.perf_counter() - start

    def p50_ms(self, repeats: int, path: str, **query: Any) -> float:
        """Return the median duration of a warm answer in milliseconds."""
        self.get(path, **query)
        return statistics.median(self.seconds(path, **query) for _ in range(repeats)) * 1000

    def bytes_read(self) -> int:
        """Return the bytes that the server has read from disks so far, without the page cache."""
        lines = Path(f"/proc/{self._process.pid}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["read_bytes"])

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server has used so far, in steps of a hundredth of a second."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def tree_cpu_seconds(self) -> float:
        """Return the same with that of its child processes, also of those that have ended."""
        found, waiting = 0, [self._process.pid]
        while waiting:
            folder = Path(f"/proc/{waiting.pop()}")
            found += sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15]))
            for children in folder.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
        return found / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> dict[str, float]:
        """Return the resident size of the server in MiB: now and at its largest."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        found = dict(line.split(":", 1) for line in lines)
        return {
            name: int(found[key].split()[0]) / 1024 for name, key in (("rss", "VmRSS"), ("largest", "VmHWM"))
        }

    def peak_mb(self) -> float:
        """Return the largest resident size of the server and its child processes, in MiB, as a sum."""
        found, waiting = 0.0, [self._process.pid]
        while waiting:
            folder = Path(f"/proc/{waiting.pop()}")
            lines = (folder / "status").read_text().splitlines()
            found += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
            for children in folder.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
        return found

    def shared_memory_mb(self) -> float:
        """Return the proportional set size of the server in MiB: shared pages count in part."""
        lines = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextmanager
def serving(store: Path) -> Iterator[Server]:
    """Serve a store on loopback while the block runs.

    Raises:
        ScriptError: The server did not start.
    """
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tracker.cli.main",
            "server",
            "--store",
            str(store),
            "--port",
            "0",
            "--no-key",
        ],
        cwd=store.parent,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        ports = (found[1] for line in process.stdout if (found := ADDRESS.match(line)))
        port = next(ports, None)
        if port is None:
            raise ScriptError(f"The server of {store} did not start.")
        yield Server(process, int(port))
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
