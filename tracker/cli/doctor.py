"""The command ``tracker doctor``: check a store and its environment, or run the crash test."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.server import add_store, store_of
from tracker.errors import StoreError, UsageError
from tracker.ground.settings import load_settings

if TYPE_CHECKING:
    from tracker.cli.store_checks import Finding
    from tracker.crashtest.run import Report

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    doctor = commands.add_parser(
        "doctor",
        help="check a store and its environment; --crash-test checks that killed processes lose no data",
    )
    add_store(doctor)
    doctor.add_argument(
        "--crash-test",
        nargs="?",
        const="",
        metavar="DIR",
        help="start test processes and kill them at random moments, in a new folder in DIR "
        "(default: the store, or the nearest existing folder above it)",
    )
    doctor.add_argument(
        "--kills", type=_kills, default=300, help="number of writers that the crash test kills (default: 300)"
    )
    doctor.add_argument("--seed", type=int, default=None, help="seed of the crash test (default: random)")
    doctor.add_argument("--json", action="store_true", help="print the result as JSON")
    doctor.set_defaults(run=_doctor)


def _kills(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"Invalid number of kills {text!r}. Use 1 to 100000.")
    return int(text)


def _doctor(options: argparse.Namespace) -> None:
    store = store_of(options)
    if options.crash_test is None:
        from tracker.cli.store_checks import examine

        _print_findings(examine(load_settings(store=store)), as_json=options.json)
        return
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    _crash_test(Path(options.crash_test) if options.crash_test else None, store, options, seed)


def _print_findings(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{'ok   ' if finding.good else 'WRONG'}  {finding.name:<12} {finding.text}")
    if not all(finding.good for finding in findings):
        sys.exit(1)


def _crash_test(given: Path | None, store: Path, options: argparse.Namespace, seed: int) -> None:
    from tracker.crashtest.run import crash_test

    place = given if given is not None else _nearest(store)
    if not place.is_dir():
        raise UsageError(f"{place} is not a folder. Name a folder on the file system to test.")
    try:
        folder = Path(tempfile.mkdtemp(prefix="tracker-crash-test-", dir=place)).absolute()
    except OSError as error:
        raise StoreError(f"Cannot make a folder in {place}: {error.strerror}. Use another DIR.") from error

    def print_line(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    print_line(f"crash test in {folder}, seed {seed}")
    try:
        report = crash_test(folder, options.kills, seed, print_line)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except (OSError, RuntimeError, StoreError) as error:
        raise StoreError(
            f"The crash test could not be completed: {error}. Its files are in {folder}."
        ) from error
    if not report.failures:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(asdict(report), indent=1) if options.json else _as_text(report))
    if report.failures:
        sys.exit(1)


def _nearest(store: Path) -> Path:
    """Return the store, or the nearest existing folder above it, for a test of its file system."""
    place = store
    while not place.is_dir():
        place = place.parent
    return place


def _as_text(report: Report) -> str:
    inside = report.kills_inside_a_burst
    lines = [
        f"{report.kills} writers killed, {inside} ({inside / report.kills:.0%}) inside a burst of writes",
        f"  {report.recorder_kills} recorders and {report.applier_kills} other processes that apply journals "
        "killed",
        f"{report.acknowledged_calls} calls returned. {report.calls_in_the_store} calls are in the store: "
        f"{report.unacknowledged_but_whole} of these did not return, because their writer was killed.",
        f"{report.tables_read} tables read back. The journals were applied during the kills, again by "
        "one process, and again by two processes at the same time.",
        f"{report.damaged_journals} damaged copies of journals read, {report.torn_tails} with a cut end",
    ]
    if report.failures:
        lines += [f"WRONG  {line}" for line in report.failures[:20]]
        if len(report.failures) > 20:
            lines.append(f"WRONG  and {len(report.failures) - 20} more")
        lines.append(
            f"FAILED. The evidence is in {report.folder}. --seed {report.seed} repeats the random choices."
        )
    else:
        lines.append("PASSED. No call that returned is lost, and no call is stored twice.")
    return "\n".join(lines)
