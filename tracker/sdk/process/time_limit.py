"""The time limit of a Slurm job, and the signal that the job gets before it (``--signal=USR1@60``).

Slurm sends this signal to each process of the job step. Its default action ends the process a minute early.
Under Slurm, ``init`` therefore replaces the default action by a handler that does nothing, also for forked
children such as the workers of a DataLoader. A handler of the script stays: see docs/decisions/0112.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

from tracker.ground.records import Preemption

# Slurm users ask for one of these signals. submitit uses SIGUSR2.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
# SLURM may send a signal up to this many seconds early.
LIMIT_SECONDS = 60
# A warning that comes at most this long before the end of the job announces the end: `--signal=USR1@60`.
WARNING_SECONDS = 60 + LIMIT_SECONDS
# How long to wait for the answer of `squeue`.
_SQUEUE_SECONDS = 5.0
_asked_end: float | None = None  # the end of the job, as `squeue` has reported it


def in_job() -> bool:
    """Return whether this process belongs to a Slurm job."""
    return bool(os.environ.get("SLURM_JOB_ID"))


class WarningHandler:
    """A handler that does nothing: the process continues.

    The handler is equal to the default action. Lightning installs its handler for a requeue only if it finds
    the default action.
    """

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Do nothing. The interpreter has written the number of the signal to the pipe of ``Termination``."""

    def __eq__(self, other: object) -> bool:
        return other is self or other == signal.SIG_DFL

    __hash__ = object.__hash__


_handler = WarningHandler()


def install() -> None:
    """Under Slurm, let the process continue after a warning, unless the script or a library handles it.

    Raises:
        ValueError: This is not the main thread.
    """
    if in_job():
        for number in WARNINGS:
            if signal.getsignal(number) is signal.SIG_DFL and not _is_caught(number):
                signal.signal(number, _handler)
                signal.siginterrupt(number, False)  # a library in C may not expect an interrupted call


def _is_caught(number: int) -> bool:
    """Return whether a library in C handles a signal, such as ``faulthandler``. Python does not know this."""
    with suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def signal_reason(number: int) -> str:
    """Return a signal's text for the reason of a run: ``signal 15 (SIGTERM)``."""
    return f"signal {number} ({signal.Signals(number).name})"


def why_terminated(now: float) -> str:
    """Return the reason of a SIGTERM: ``time limit`` if the SLURM job's time is over, else the signal.

    Args:
        now: The current time (unix seconds).
    """
    end = job_end()
    over = end is not None and now > end - LIMIT_SECONDS
    return "time limit" if over else signal_reason(signal.SIGTERM)


def describe_warning(number: int, now: float) -> Preemption:
    """Return the announcement of a preemption by a signal.

    Args:
        number: The signal.
        now: The current time (unix seconds).
    """
    end = job_end()
    near = end is not None and now > end - WARNING_SECONDS
    return {"reason": "time limit" if near else signal_reason(number), "job_end": end}


def job_end() -> float | None:
    """Return the end of the Slurm job by its time limit (unix seconds), or None if it is not known."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    return float(end) if end.isdecimal() and len(end) < 16 else _asked_end


def ask_job_end() -> float | None:
    """Return the end of the job. If the environment does not contain it, ask ``squeue``.

    Slurm before 23.02 does not set ``SLURM_JOB_END_TIME``.
    """
    global _asked_end
    if in_job() and job_end() is None:
        import subprocess  # imported late: few processes need it

        job, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
        # The number of an array's last task is also that of the whole array.
        job = f"{job}_{task}" if job and task else os.environ["SLURM_JOB_ID"]
        command = ["squeue", "--noheader", f"--jobs={job}", "--format=%e"]
        with suppress(OSError, subprocess.SubprocessError, ValueError):
            done = subprocess.run(
                command,
                env=os.environ | {"SLURM_TIME_FORMAT": "%s"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_SQUEUE_SECONDS,
                check=True,
            )
            _asked_end = float(int(done.stdout))
    return job_end()
