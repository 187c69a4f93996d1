"""Limits and usage of the process's control group, for cgroup versions 2 and 1."""

from __future__ import annotations

import os
from pathlib import Path

# A larger limit means no limit: version 1 reports the largest number of pages.
_NO_LIMIT = 2**60


def memory() -> tuple[int, int] | None:
    """Return used and allowed bytes of the innermost group with a limit, or None without a limit."""
    for folder in _folders("memory"):
        for limit_name, used_name, stat_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = _number(folder / limit_name)
            used = _number(folder / used_name)
            if limit is not None and used is not None and limit < _NO_LIMIT:
                # The kernel frees inactive page cache before it kills a process. So it does not count.
                return max(0, used - _stat(folder / "memory.stat").get(stat_name, 0)), limit
    return None


def cpus() -> float:
    """Return the number of processors that this process may use, by its affinity and its group's quota."""
    try:
        count = float(len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):
        count = float(os.cpu_count() or 1)
    for folder in _folders("cpu"):
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit():
            return min(count, int(words[0]) / int(words[1]))
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:
            return min(count, quota / period)
    return count


def pressure() -> dict[str, float]:
    """Return how often the group was throttled, as a percentage, and its number of out-of-memory kills."""
    found: dict[str, float] = {}
    for folder in _folders("cpu"):
        stat = _stat(folder / "cpu.stat")
        if stat.get("nr_periods"):
            found["proc.cpu.throttledPercent"] = 100.0 * stat.get("nr_throttled", 0) / stat["nr_periods"]
            break
    for folder in _folders("memory"):
        events = _stat(folder / "memory.events") or _stat(folder / "memory.oom_control")
        if "oom_kill" in events:
            found["proc.memory.oomKills"] = float(events["oom_kill"])
            break
    return found


def _folders(controller: str, root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the process's groups for a controller, the innermost first."""
    found: list[Path] = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        number, names, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not names:
            bases = [root, root / "unified"]
        elif controller in names.split(","):
            bases = [root / names, root / controller]
        else:
            continue
        for base in bases:
            group = base / path.lstrip("/")
            while group != base and base in group.parents:
                found.append(group)
                group = group.parent
            found.append(base)
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _stat(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
