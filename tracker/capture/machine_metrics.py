"""System metrics from ``/proc``: processor, memory, disk and network, under wandb's names.

Linux only, without a dependency: nothing has to be installed on a compute node (docs/decisions/0034). Metrics
that cannot be read are left out of a sample.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from tracker.capture import cgroup

MB = 1024.0 * 1024.0
_PROC = Path("/proc")
_SECTOR = 512


class Machine:
    """Samples one process and its machine. Rates and sums count from the creation of this object.

    Args:
        pid: The process.
        disk_paths: Paths that name the file systems to sample.
        tree: Whether to include the process's descendants.
    """

    def __init__(self, pid: int, disk_paths: Sequence[str] = ("/",), *, tree: bool = False) -> None:
        self._pid = pid
        self._disk_paths = list(disk_paths)
        self._tree = tree
        self._cpus = cgroup.cpus()
        self._busy: tuple[float, float] | None = None  # processor time in seconds, and when it was read
        self._device = _device_of("/")
        self._io = _disk_io(self._device)
        self._net = _network()
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def sample(self) -> dict[str, float]:
        """Return the metrics that can be read now. ``cpu`` is missing from the first sample."""
        found: dict[str, float] = {}
        for part in (self._processor, self._memory, self._disk, self._traffic, cgroup.pressure):
            with suppress(OSError, ValueError, IndexError, KeyError):
                found.update(part())
        return found

    def _processor(self) -> dict[str, float]:
        found: dict[str, float] = {}
        busy, threads = 0.0, 0
        for pid in self._pids():
            with suppress(OSError, ValueError, IndexError):
                fields = _stat_fields(pid)
                busy += (int(fields[11]) + int(fields[12])) / self._ticks
                threads += int(fields[17])
        now = time.monotonic()
        if self._busy is not None and now > self._busy[1]:
            used = max(0.0, busy - self._busy[0])
            found["cpu"] = 100.0 * used / (now - self._busy[1]) / self._cpus
        self._busy = busy, now
        found["proc.cpu.threads"] = float(threads)
        return found

    def _memory(self) -> dict[str, float]:
        machine = _meminfo()
        total, available = machine["MemTotal"], machine["MemAvailable"]
        allowed = cgroup.memory()
        if allowed is not None and allowed[1] < total:
            total, available = allowed[1], max(0, min(available, allowed[1] - allowed[0]))
        resident = 0
        for pid in self._pids():
            with suppress(OSError, ValueError, IndexError):
                resident += int((_PROC / str(pid) / "statm").read_text().split()[1]) * self._page
        return {
            "memory_percent": 100.0 * (total - available) / total,
            "proc.memory.availableMB": available / MB,
            "proc.memory.rssMB": resident / MB,
            "proc.memory.percent": 100.0 * resident / total,
        }

    def _disk(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for path in self._disk_paths:
            with suppress(OSError):
                state = os.statvfs(path)
                used = (state.f_blocks - state.f_bfree) * state.f_frsize
                seen = used + state.f_bavail * state.f_frsize
                found[f"disk.{path}.usagePercent"] = 100.0 * used / seen if seen else 0.0
                found[f"disk.{path}.usageGB"] = used / 1024.0**3
        now = _disk_io(self._device)
        if self._device is not None and now is not None and self._io is not None:
            found[f"disk.{self._device}.in"] = (now[0] - self._io[0]) / MB
            found[f"disk.{self._device}.out"] = (now[1] - self._io[1]) / MB
        return found

    def _traffic(self) -> dict[str, float]:
        now = _network()
        return {name: float(max(0, now[name] - self._net.get(name, 0))) for name in now}

    def _pids(self) -> Iterable[int]:
        return [self._pid, *_descendants(self._pid)] if self._tree else [self._pid]


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name. The name may contain spaces and brackets."""
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    return text.rpartition(")")[2].split()


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir(_PROC):
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError):
                children.setdefault(int(_stat_fields(int(entry))[1]), []).append(int(entry))
    found: list[int] = []
    left = [pid]
    while left:
        below = children.pop(left.pop(), [])
        found += below
        left += below
    return found


def _meminfo() -> dict[str, int]:
    found = {}
    for line in (_PROC / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words:
            found[name] = int(words[0]) * 1024
    return found


def memory_total() -> int:
    """Return the memory in bytes that this process may use."""
    total = _meminfo()["MemTotal"]
    allowed = cgroup.memory()
    return total if allowed is None else min(total, allowed[1])


def _device_of(path: str) -> str | None:
    """Return the block device of a path's file system, such as ``vda``: the disk, not the partition."""
    try:
        device = os.stat(path).st_dev
        link = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve(strict=True)
    except OSError:
        return None
    return link.parent.name if (link / "partition").exists() else link.name


def _disk_io(device: str | None) -> tuple[int, int] | None:
    if device is None:
        return None
    for line in (_PROC / "diskstats").read_text().splitlines():
        words = line.split()
        if len(words) > 9 and words[2] == device:
            return int(words[5]) * _SECTOR, int(words[9]) * _SECTOR
    return None


def _network() -> dict[str, int]:
    """Return bytes over all interfaces except loopback, and the number of retransmitted TCP segments."""
    sent = received = 0
    for line in (_PROC / "net" / "dev").read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name.strip() != "lo" and len(words) > 8:
            received += int(words[0])
            sent += int(words[8])
    found = {"network.sent": sent, "network.recv": received}
    tcp = [
        line.split() for line in (_PROC / "net" / "snmp").read_text().splitlines() if line.startswith("Tcp:")
    ]
    if len(tcp) == 2 and "RetransSegs" in tcp[0]:
        found["network.tcpRetransmits"] = int(tcp[1][tcp[0].index("RetransSegs")])
    return found
