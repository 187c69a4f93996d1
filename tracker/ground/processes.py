"""Which process is this, and does that one still live? Never by pid alone: pids are reused."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tracker.ground.records import Process

# A writer that cannot be looked at (another host) is taken for dead when its journal has been untouched for
# this long; writers touch theirs every 15 s.
MISSED_SECONDS = 60.0


def this_process() -> Process:
    """Return the identity of the calling process."""
    pid = os.getpid()
    return Process(host_name(), boot_id(), _pid_namespace(), pid, _start_ticks(pid) or 0)


def host_name() -> str:
    """Return this host's name."""
    return os.uname().nodename


def is_local(process: Process) -> bool:
    """Whether this process can tell if ``process`` lives: same host, boot and pid namespace."""
    return (process.host, process.boot, process.namespace) == (host_name(), boot_id(), _pid_namespace())


def is_alive(process: Process, *, silent: bool = False) -> bool | None:
    """Return whether ``process`` lives; None when it cannot be told from here.

    Args:
        process: Who.
        silent: It has missed its heartbeat. One of another boot is dead then: this host was started
            anew. Before, it may live on another machine of the same name.
    """
    if not is_local(process):
        return False if silent and is_of_another_boot(process) else None
    found = _start_ticks(process.pid)
    if found is None and _is_hidden(process.pid):
        return None
    return found == process.started


def is_of_another_boot(process: Process) -> bool:
    """Whether ``process`` ran before this host was started anew, or on another machine of the same name."""
    return process.host == host_name() and boot_id() not in ("", process.boot)


def boot_id() -> str:
    """Return the random id of this boot of the kernel; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _is_hidden(pid: int) -> bool:
    """Whether there is a process of another user that /proc does not show (``hidepid``)."""
    if os.path.exists(f"/proc/{pid}/stat"):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False  # one of our own, which /proc would show: it has just begun


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses; state is the field behind it.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def seconds_alive() -> float:
    """Return for how long the calling process has been there; 0 where that is not known."""
    ticks = _start_ticks(os.getpid())
    if ticks is None:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
