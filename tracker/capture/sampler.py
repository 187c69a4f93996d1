"""The thread that samples system metrics. It never raises into the training code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from tracker.capture import logs
from tracker.capture.logs import Logged
from tracker.capture.machine_metrics import Machine

# The number of consecutive failures after which a source is dropped.
LARGEST_FAILURES = 3
# One of these files exists if there is an NVIDIA driver. The last one is that of Windows, for WSL.
_DRIVER = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")


class Source(Protocol):
    """A source of metrics."""

    def sample(self) -> dict[str, float]:
        """Return the current metrics."""


class Sampler:
    """Samples immediately, and then at intervals until it is stopped.

    Attributes:
        taken: The number of samples that were written.

    Args:
        write: Receives a sample. Sampling ends when it raises, because the run is then over.
        interval: Seconds between two samples.
        disk_paths: See ``Machine``.
        gpus: The GPUs to sample. None means all.
        tree: See ``Machine``.
    """

    def __init__(
        self,
        write: Callable[[dict[str, float]], None],
        *,
        interval: float,
        disk_paths: Sequence[str],
        gpus: Sequence[int] | None,
        tree: bool,
    ) -> None:
        self._write = write
        self._interval = interval
        self.taken = 0
        self._openers: list[Callable[[], Source]] = []
        if sys.platform == "linux":
            self._openers.append(lambda: Machine(os.getpid(), disk_paths, tree=tree))
        if has_driver():
            # Import here and not in the thread: a child that is forked during an import could not import.
            from tracker.capture.nvml import Cards

            self._openers.append(lambda: Cards(gpus, os.getpid()))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker-system", daemon=True)

    def start(self) -> None:
        """Start the thread. If no thread can be created, nothing is sampled."""
        with suppress(RuntimeError):  # the limit of threads is reached, or the interpreter is ending
            self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end, without waiting."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait up to ``seconds`` until the stopped thread has ended."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        failures: dict[Source, int] = {}
        for opener in self._openers:
            with Logged(
                "open a source of system metrics"
            ):  # if one source fails (an unusual /proc, a driver without an answer), use the others
                failures[opener()] = 0
        while failures and not self._stop.is_set():
            found: dict[str, float] = {}
            for source in list(failures):
                try:
                    found.update(source.sample())
                    failures[source] = 0
                except Exception as error:
                    logs.log(logs.WARNING, "A source of system metrics failed", error)
                    failures[source] += 1
                    if failures[source] == LARGEST_FAILURES:
                        del failures[source]
            if found and not self._stop.is_set():
                try:
                    self._write(found)
                except Exception as error:
                    logs.log(logs.WARNING, "Sampling of system metrics ended", error)
                    return
                self.taken += 1
            self._stop.wait(self._interval)


def has_driver() -> bool:
    """Return whether there may be an NVIDIA driver. This check loads no library."""
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    libraries = [os.path.join(folder, "libnvidia-ml.so.1") for folder in folders if folder]
    return any(os.path.exists(path) for path in (*_DRIVER, *libraries))
