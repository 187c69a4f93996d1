"""Which process is this, and does that one still live? Never by pid alone: pids are reused."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.records import Process


def this_process() -> Process:
    """Return the identity of the calling process."""
    pid = os.getpid()
    return Process(host_name(), _boot_id(), _pid_namespace(), pid, _start_ticks(pid) or 0)


def host_name() -> str:
    """Return this host's name."""
    return os.uname().nodename


def is_local(process: Process) -> bool:
    """Whether this process can tell if ``process`` lives: same host, boot and pid namespace."""
    return (process.host, process.boot, process.namespace) == (host_name(), _boot_id(), _pid_namespace())


def is_alive(process: Process) -> bool | None:
    """Return whether ``process`` lives; None when it cannot be told from here."""
    if not is_local(process):
        # The same host after a reboot: nothing of before is alive.
        return False if process.host == host_name() and _boot_id() not in ("", process.boot) else None
    return _start_ticks(process.pid) == process.started


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses; state is the field behind it.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
