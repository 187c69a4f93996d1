"""What a job's control group allows it, and how much of that it uses. Version 2 first, then version 1."""

from __future__ import annotations

import os
from pathlib import Path

# A limit beyond this is none: version 1 writes the largest number of pages.
_NO_LIMIT = 2**60


def memory() -> tuple[int, int] | None:
    """Return bytes used and allowed in the innermost group with a limit; None where there is none."""
    for folder in _folders("memory"):
        for limit_name, used_name, stat_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = _number(folder / limit_name)
            used = _number(folder / used_name)
            if limit is not None and used is not None and limit < _NO_LIMIT:
                # Of the page cache, what was not used for long is given back before anybody is killed.
                return max(0, used - _stat(folder / "memory.stat").get(stat_name, 0)), limit
    return None


def cpus() -> float:
    """Return how many processors this process may use at once: by affinity, and by its group's quota."""
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
    """Return how often the group was throttled, in percent, and how often it ran out of memory."""
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
    """Return this process's groups for a controller, the innermost first."""
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
