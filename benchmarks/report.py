"""Figures of benchmarks, their table, and their JSON files."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        figure: Name of the measurement.
        unit: Unit of ``ours`` and ``other``.
        ours: Figure of tracker.
        against: Name of the lower bound or peer for comparison.
        other: Figure of the lower bound or peer; None if it is absent.
        target: Target of the figure, as text; empty without a target.
        met: Whether the target is met; None if this is unknown.
        note: Explanation.
    """

    figure: str
    unit: str
    ours: float
    against: str = ""
    other: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our figure divided by the other one."""
        return self.ours / self.other if self.other else None


@dataclass(frozen=True)
class Result:
    """The result of one benchmark: rows of the table, and all details."""

    rows: list[Row]
    details: dict[str, Any] = field(default_factory=dict)


def row(
    figure: str,
    unit: str,
    ours: float,
    against: str,
    other: float | None,
    *,
    most: float | None = None,
    target: str = "",
    note: str = "",
) -> Row:
    """Return a row. Its target, if any, is met if ``ours`` is at most ``most`` times ``other``."""
    met = None if most is None or other is None else ours <= most * other
    return Row(figure, unit, ours, against, other, target, met, note)


def absent(figure: str, unit: str, ours: float, peer: str, target: str = "") -> Row:
    """Return a row for a peer that is not installed."""
    return Row(figure, unit, ours, peer, None, target, None, f"{peer} is absent: nothing to compare with")


def spread(values: list[float]) -> dict[str, Any]:
    """Return the median of repeated measurements, with all of them."""
    return {"median": statistics.median(values), "all": values}


def save(name: str, result: Result, folder: Path) -> Path:
    """Write the JSON file of a benchmark; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    described = {
        "benchmark": name,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "figures": [{**asdict(each), "ratio": each.ratio} for each in result.rows],
        "details": result.details,
    }
    path.write_text(json.dumps(described, indent=1) + "\n")
    return path


def collect_scale(folder: Path) -> None:
    """Write ``scale.json`` for ``docs/scale.md``: the results about scale of all benchmarks in a folder."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        described = json.loads(path.read_text())
        if "scale" in described.get("details", {}):
            told = {name: described[name] for name in ("measured_at", "machine")}
            found[described["benchmark"]] = {**described["details"]["scale"], **told}
    if found:
        (folder / "scale.json").write_text(json.dumps(found, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Describe the machine, as far as figures depend on it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def table(rows: list[Row]) -> str:
    """Return the rows as a text table."""
    head = ("figure", "ours", "against", "other", "ratio", "target", "met")
    lines = [head] + [
        (
            each.figure,
            f"{_number(each.ours)} {each.unit}",
            each.against,
            "absent" if each.other is None and each.against else _number(each.other),
            "" if each.ratio is None else f"{each.ratio:.2f}",
            each.target,
            {True: "yes", False: "NO", None: ""}[each.met],
        )
        for each in rows
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text.insert(1, "  ".join("-" * width for width in widths))
    text += [f"  {each.figure}: {each.note}" for each in rows if each.note]
    return "\n".join(text)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
