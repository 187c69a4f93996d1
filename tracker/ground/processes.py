"""Identity of processes, and whether a process is alive. A pid is not enough: pids are reused."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tracker.ground.records import Process

# A writer touches its journal every 15 s. If the state of the writer's process cannot be seen (for example on
# another host), and its journal has not been touched for this time, the writer counts as dead.
MISSED_SECONDS = 60.0


def this_process() -> Process:
    """Return the identity of the calling process."""
    pid = os.getpid()
    return Process(host_name(), boot_id(), _pid_namespace(), pid, _start_ticks(pid) or 0)


def host_name() -> str:
    """Return this host's name."""
    return os.uname().nodename


def is_local(process: Process) -> bool:
    """Return whether ``process`` is of this host, boot and pid namespace, so that its state can be seen."""
    return (process.host, process.boot, process.namespace) == (host_name(), boot_id(), _pid_namespace())


def is_alive(process: Process, *, silent: bool = False) -> bool | None:
    """Return whether ``process`` is alive; None if this process cannot find out.

    Args:
        process: The process.
        silent: Whether the process has missed its heartbeat. A silent process of another boot is dead,
            because this host has restarted. Without silence it can be alive on another machine with the same
            host name.
    """
    if not is_local(process):
        return False if silent and is_of_another_boot(process) else None
    found = _start_ticks(process.pid)
    if found is None and _is_hidden(process.pid):
        return None
    return found == process.started


def is_of_another_boot(process: Process) -> bool:
    """Return whether ``process`` ran before this host restarted, or on another machine with the same name."""
    return process.host == host_name() and boot_id() not in ("", process.boot)


def boot_id() -> str:
    """Return the kernel's random id of this boot; an empty text if it cannot be read."""
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
    """Return whether the process exists, but /proc hides it (mount option ``hidepid``)."""
    if os.path.exists(f"/proc/{pid}/stat"):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False  # a process of this user: /proc shows it, so it started after the first check


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may contain spaces and parentheses. The state is the field after it.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def seconds_alive() -> float:
    """Return the age of the calling process in seconds; 0 if it is not known."""
    ticks = _start_ticks(os.getpid())
    if ticks is None:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
