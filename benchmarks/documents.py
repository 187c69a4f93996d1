"""Writing of results into the documents: ``docs/figures.md`` and a table in ``docs/scale.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT

FIGURES = ROOT / "docs" / "figures.md"
SCALE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
INTRODUCTION = """# Figures

`python -m benchmarks --write-docs` writes this file, see [benchmarks](../benchmarks/README.md). Most figures
are compared with a lower bound or with another program, measured at the same time. Figures are medians. The
machine is shared, so only ratios matter.

| figure | ours | against | other | ratio | target | met |
| --- | --- | --- | --- | --- | --- | --- |
"""


def write(results: Path) -> None:
    """Write both documents from the JSON files in ``results``; omit benchmarks without a file."""
    told = [json.loads(path.read_text()) for path in sorted(results.glob("*.json")) if path.stem != "scale"]
    lines = [_line(figure) for each in told for figure in each["figures"]]
    notes = sorted({f"- {f['figure']}: {f['note']}" for each in told for f in each["figures"] if f["note"]})
    FIGURES.write_text(
        INTRODUCTION + "\n".join(lines) + "\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")
    )
    scale = json.loads((results / "scale.json").read_text())
    before, _, rest = SCALE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    SCALE.write_text(f"{before}{BEGIN}\n{_scale_table(scale)}{END}{after}")


def _line(figure: dict[str, Any]) -> str:
    met = {True: "yes", False: "**no**", None: ""}[figure["met"]]
    other = "absent" if figure["other"] is None and figure["against"] else _number(figure["other"])
    ratio = "" if figure["ratio"] is None else f"{figure['ratio']:.2f}"
    ours = f"{_number(figure['ours'])} {figure['unit']}"
    cells = (figure["figure"], ours, figure["against"], other, ratio, figure["target"], met)
    return "| " + " | ".join(cells) + " |"


def _scale_table(scale: dict[str, Any]) -> str:
    long, names, runs = (scale.get(name, {}) for name in ("chart", "names", "runs-query"))
    live, sealed = long.get("unsealed", {}), long.get("sealed", {})
    lines = [
        ("list of runs, first page", _both(live, sealed, "listing p50 ms"), _ms(names, "listing p50 ms"),
         _ms(runs, "first page p50 ms")),
        ("the run with its keys", _both(live, sealed, "run p50 ms"), _ms(names, "keys p50 ms"),
         _ms(runs, "run p50 ms")),
        ("chart of a metric, 1,000 px", _both(live, sealed, "chart p50 ms"), _ms(names, "chart p50 ms"),
         _ms(runs, "chart p50 ms")),
        ("the same, files evicted from the page cache", _both(live, sealed, "chart p50 ms, evicted"), "", ""),
        ("zoomed, where rows are read", _both(live, sealed, "zoomed chart p50 ms"), "", ""),
        ("chart of 20 metrics", "", _ms(names, "chart of 20 keys p50 ms"), ""),
        ("filter and sort on a config and a summary key, first 50", "", "",
         _ms(runs, "filter leaves half p50 ms")),
        ("largest memory of the server", _memory(live, sealed), _memory(names), _memory(runs)),
        ("store on disk", _mb(long, "store_mb"), _mb(names, "store_mb"), ""),
    ]  # fmt: skip
    head = (
        "",
        f"one run of {long.get('steps', 0):,} steps, live / sealed",
        f"one run with {names.get('names', 0):,} metrics ({names.get('rows', 0)} rows)",
        f"{runs.get('runs', 0):,} runs of {runs.get('config keys', 0)} config and "
        f"{runs.get('summary keys', 0)} summary keys",
    )
    text = "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * 4, *lines))
    writers = scale.get("writers")
    if writers is None:
        return text + "\n"
    return (
        f"{text}\n\n{writers['writers']} concurrent runs on one node need "
        f"{writers['memory_mb over bare interpreters']:.0f} MB "
        f"and {writers['cpu s over bare interpreters']:.1f} CPU-seconds at start-up, on top of interpreters "
        "without tracker "
        f"({writers['memory_mb']:.0f} MB and {writers['cpu s']:.1f} s in total), including the one recorder "
        f"({writers['memory_mb of the recorder']:.0f} MB, {writers['cpu s of the recorder']:.1f} s).\n"
    )


def _ms(found: dict[str, Any], name: str) -> str:
    return f"{found[name]:.0f} ms" if name in found else ""


def _both(live: dict[str, Any], sealed: dict[str, Any], name: str) -> str:
    return f"{live[name]:.0f} / {sealed[name]:.0f} ms" if name in live and name in sealed else ""


def _mb(found: dict[str, Any], name: str) -> str:
    return f"{found[name]:.0f} MB" if name in found else ""


def _memory(*found: dict[str, Any]) -> str:
    told = [each["server memory_mb"]["largest"] for each in found if "server memory_mb" in each]
    return " / ".join(f"{each:.0f}" for each in told) + " MB" if told else ""


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
