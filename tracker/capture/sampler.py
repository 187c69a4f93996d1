"""The thread that samples system metrics. It never raises into training, and sleeps between two samples."""

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

# A source that fails so often in a row is asked no more.
LARGEST_FAILURES = 3
# Where one of these is, there is a driver of NVIDIA's; the last is Windows's own, under which Linux runs.
_DRIVER = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")


class Source(Protocol):
    """Where metrics come from."""

    def sample(self) -> dict[str, float]:
        """Return what it has now."""


class Sampler:
    """Samples until it is stopped; the first time at once.

    Attributes:
        taken: How many samples were written.

    Args:
        write: Takes a sample. When it raises, sampling ends: the run is over.
        interval: Seconds between two samples.
        disk_paths: See ``Machine``.
        gpus: Which cards are sampled; None: all.
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
            # Not in the thread: a fork while it imports would leave the child modules that it cannot import.
            from tracker.capture.nvml import Cards

            self._openers.append(lambda: Cards(gpus, os.getpid()))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker-system", daemon=True)

    def start(self) -> None:
        """Begin; where no thread can be had, nothing is sampled."""
        with suppress(RuntimeError):  # no more threads, or the interpreter is ending
            self._thread.start()

    def stop(self) -> None:
        """End soon; waits for nothing."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait until the thread that was told to stop has ended, for so long at the most."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        failures: dict[Source, int] = {}
        for opener in self._openers:
            with Logged(
                "open a source of system metrics"
            ):  # an odd /proc, a driver that does not answer: the rest is sampled
                failures[opener()] = 0
        while failures and not self._stop.is_set():
            found: dict[str, float] = {}
            for source in list(failures):
                try:
                    found.update(source.sample())
                    failures[source] = 0
                except Exception as error:
                    logs.log(logs.WARNING, "a source of system metrics failed", error)
                    failures[source] += 1
                    if failures[source] == LARGEST_FAILURES:
                        del failures[source]
            if found and not self._stop.is_set():
                try:
                    self._write(found)
                except Exception as error:
                    logs.log(logs.WARNING, "system metrics are sampled no longer", error)
                    return
                self.taken += 1
            self._stop.wait(self._interval)


def has_driver() -> bool:
    """Whether NVIDIA's driver may be here; asked before anything is loaded for it."""
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    libraries = [os.path.join(folder, "libnvidia-ml.so.1") for folder in folders if folder]
    return any(os.path.exists(path) for path in (*_DRIVER, *libraries))
