"""The command ``tracker show``: everything about a run on one page."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracker.cli.output import as_age, as_json, as_size, as_table, as_time, as_value, one_line
from tracker.cli.run_selection import add_selection, open_selection
from tracker.ground.values import flatten

if TYPE_CHECKING:
    from tracker.api.run import Run

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# The number of lines of each section, without --all.
_LINES = 20
# The number of lines of output of a run that did not finish.
_OUTPUT = 15
_NOT_FINISHED = ("failed", "crashed", "killed", "preempted")


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    show = commands.add_parser("show", help="show a run: state, times, command, config, summary, files")
    show.add_argument("-a", "--all", action="store_true", help=f"show more than {_LINES} lines of a section")
    show.add_argument("--json", action="store_true", help="print everything as JSON")
    add_selection(show)
    show.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> None:
    runs = list(open_selection(options).select(options))
    if options.json:
        found = [facts_of(run) for run in runs]
        print(as_json(found[0] if len(found) == 1 else found))
        return
    most = None if options.all else _LINES
    print("\n\n".join("\n".join(lines_of(run, most)) for run in runs))


def facts_of(run: Run) -> dict[str, Any]:
    """Return the run as the REST API does, with the key metadata, and lists of its artifacts and files."""
    return {
        **asdict(run._detail()),
        "url": run.url,
        "metadata": run.metadata,
        "artifacts": {
            "logged": [asdict(each.detail) for each in run.logged_artifacts()],
            "used": [asdict(each.detail) for each in run.used_artifacts()],
        },
        "files": [asdict(each) for each in run._reader.files(*run._run_path)],
    }


def lines_of(of: Run, most: int | None) -> Iterator[str]:
    """Yield the lines of the page of a run.

    Args:
        of: The run.
        most: The maximum number of lines of a section; None for no limit.
    """
    run = facts_of(of)
    yield f"{one_line(run['name'])}  {run['entity']}/{run['project']}/{run['id']}"
    yield ""
    rows = [(name, one_line(text)) for name, text in _overview(run) if text]
    yield from as_table(rows).splitlines()
    yield from _section("Problems", run["problems"], most)
    yield from _section("Alerts", map(_alert, run["alerts"]), most)
    if run["state"] in _NOT_FINISHED:
        output = of._reader.console(*of._run_path, tail=_OUTPUT).lines
        yield from _section("Last output", (each.text for each in output), None)
    yield from _section("Config", _values(run["config"]), most)
    yield from _section("Summary", _values(run["summary"]), most)
    for title, versions in run["artifacts"].items():
        named = (
            f"{each['project']}/{each['name']}:{each['version']}  {each['type']}  {as_size(each['size'])}"
            for each in versions
        )
        yield from _section(f"Artifacts {title}", named, most)
    files = [(each["path"], as_size(each["size"])) for each in run["files"]]
    yield from _section("Files", as_table(files, right=(1,)).splitlines() if files else [], most)


def _overview(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    metadata = run["metadata"] or {}
    now = time.time()
    yield "State", run["state"] + (f": {run['reason']}" if run["reason"] else "")
    error = (run["error"] or "").strip().partition("\n")[0]
    yield "Error", "" if error in (run["reason"] or "") else error
    yield "Started", f"{as_time(run['created_at'])}  ({as_age(now - run['created_at'])} ago)"
    ended = run["finished_at"]
    yield "Ended", f"{as_time(ended)}  ({as_age(now - ended)} ago)" if ended is not None else ""
    yield "Updated", f"{as_age(now - run['updated_at'])} ago" if ended is None else ""
    yield "Duration", as_age(run["duration"])
    yield "Last step", as_value(run["last_step"])
    segments = run["segments"]
    ranks = {each["rank"] for each in segments}
    yield "Attempts", str(run["attempts"]) if run["attempts"] > 1 else ""
    yield "Ranks", str(len(ranks)) if len(ranks) > 1 else ""
    hosts = dict.fromkeys(each["host"] for each in segments if each["host"])
    yield "Host", ", ".join(hosts) or run["host"] or ""
    slurm = metadata.get("slurm") or {}
    yield "Slurm job", _slurm(slurm)
    yield "Time limit", _time_limit(slurm, now) if ended is None else ""
    command = [metadata.get("program") or "", *(metadata.get("args") or [])]
    yield "Command", shlex.join(command) if command[0] else ""
    yield "Folder", metadata.get("root") or ""
    git = metadata.get("git") or {}
    yield "Git", " ".join(text for text in (git.get("commit"), git.get("remote")) if text)
    yield "Python", metadata.get("python") or ""
    gpus = metadata.get("gpu_count")
    yield "GPUs", f"{gpus} x {metadata.get('gpu')}" if gpus else ""
    yield "Group", run["group"] or ""
    yield "Job type", run["job_type"] or ""
    yield "Tags", ", ".join(run["tags"])
    yield "Notes", run["notes"] or ""
    yield "Archived", "yes" if run["archived"] else ""
    yield "Page", run["url"] or ""


def _alert(alert: Mapping[str, Any]) -> str:
    text = " ".join(alert["text"].split())
    return f"{as_time(alert['time'])}  {alert['level']}  {alert['title']}{f': {text}' if text else ''}"


def _slurm(facts: Mapping[str, str]) -> str:
    array, task = facts.get("array_job_id"), facts.get("array_task_id")
    name = f"  {facts['job_name']}" if "job_name" in facts else ""
    of_array = f" ({array}_{task})" if array else ""
    return f"{facts['job_id']}{of_array}{name}" if "job_id" in facts else ""


def _time_limit(facts: Mapping[str, str], now: float) -> str:
    """Return the end of a Slurm job by its time limit."""
    text = str(facts.get("job_end_time", ""))
    if not (text.isdecimal() and len(text) < 16):  # Slurm before 23.02 does not tell it
        return ""
    end = float(text)
    return f"{as_time(end)}  ({f'in {as_age(end - now)}' if end > now else 'over'})"


def _values(values: Mapping[str, Any]) -> list[str]:
    rows = [
        (one_line(key), as_value(value)) for key, value in flatten(values) if not key.startswith("_wandb")
    ]
    return as_table(rows).splitlines() if rows else []


def _section(title: str, lines: Iterable[str], most: int | None) -> Iterator[str]:
    found = [one_line(line) for line in lines]
    if found:
        yield from ("", title, *(f"  {line}" for line in found[:most]))
        if most is not None and len(found) > most:
            yield f"  and {len(found) - most} more (--all shows them)"
