"""Runs a command and counts all its descendants, including detached ones.

    python meter.py OUT.json COMMAND...

This process adopts orphans (``PR_SET_CHILD_SUBREAPER``): a recorder in its own session becomes its child when
the recorder's parent ends, and ``wait4`` then reports the exact use. The script ends when all processes have
ended. It uses only the standard library, so that its own cost is not part of the measurement.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of orphans among its descendants.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def main(out: str, command: list[str]) -> int:
    """Run the command; write the resources that it and its descendants used."""
    adopt_orphans()
    start = time.perf_counter()
    main_pid = os.posix_spawnp(command[0], command, os.environ)
    exit_code, main_wall = 0, 0.0
    processes = []
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        if pid == main_pid:
            exit_code, main_wall = os.waitstatus_to_exitcode(status), time.perf_counter() - start
        processes.append(
            {
                "main": pid == main_pid,
                "cpu": used.ru_utime + used.ru_stime,
                "largest_mb": used.ru_maxrss / 1024,
            }
        )
    found = {
        "exit_code": exit_code,
        "wall": main_wall,
        "wall_of_all": time.perf_counter() - start,
        "cpu": sum(each["cpu"] for each in processes),
        "cpu_of_main": sum(each["cpu"] for each in processes if each["main"]),
        "largest_mb": max(each["largest_mb"] for each in processes),
        "processes": processes,
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
