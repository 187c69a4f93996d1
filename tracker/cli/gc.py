"""The command ``tracker gc``: delete files that nothing references."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.output import as_size, as_span, as_table, parse_span
from tracker.cli.server import add_store, store_of
from tracker.errors import StoreError, UsageError
from tracker.ground.settings import load_settings
from tracker.reading.open_reader import is_shared
from tracker.recorder.outbox import list_outboxes, remote_of
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.store.gc.collect import Report
    from tracker.store.gc.retention import Rule

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Singular and plural of each kind of item.
_WORDS = {
    "run": ("run", "runs"),
    "version": ("version", "versions"),
    "blob": ("file", "files"),
    "draft": ("draft", "drafts"),
    "note": ("note", "notes"),
    "temporary": ("temporary file", "temporary files"),
    "log": ("log", "logs"),
}


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    gc = commands.add_parser("gc", help="delete expired artifact versions, and files that nothing references")
    add_store(gc)
    gc.add_argument(
        "--spool",
        type=Path,
        metavar="DIR",
        help="also clean up the spool of the store in this folder on this host (default: $TRACKER_SPOOL)",
    )
    gc.add_argument(
        "--dry-run", action="store_true", help="delete nothing; print what would be deleted and why"
    )
    gc.add_argument(
        "--grace",
        type=parse_span,
        default="1d",
        metavar="SPAN",
        help="keep files stored or reused within this time: 30m, 2h, 1d, 0 (default: 1d)",
    )
    gc.add_argument(
        "--keep",
        metavar="RULE",
        help="delete the versions that RULE does not keep; for example 'best 3 by val_loss, last 2, aliased'",
    )
    gc.add_argument(
        "--only", metavar="GLOB", help="collections for --keep: ENTITY/PROJECT/NAME; * matches any text"
    )
    gc.add_argument("--json", action="store_true", help="print the result as JSON")
    gc.set_defaults(run=_gc)


def _gc(options: argparse.Namespace) -> None:
    from tracker.store.gc.collect import collect

    layout = Layout(store_of(options))
    outboxes = list_outboxes(layout.root)
    rules = _rules(layout, options)
    spools, notes = _spools(layout, options)
    elsewhere = bool(spools) and is_shared(load_settings(store=layout.root))
    # A host that only sends has no store.
    if elsewhere or ((outboxes or spools) and not layout.description.is_file()):
        report = collect(None, outboxes, spools=spools, grace=options.grace, dry_run=options.dry_run)
    else:
        report = _collect_all(layout, outboxes, spools, rules, options)
    report.notes += notes
    if elsewhere:
        report.notes.append(f"only the spool was collected: {_elsewhere(layout)}")
    print(_as_json(report) if options.json else _as_text(report, options.grace, dry_run=options.dry_run))


def _spools(layout: Layout, options: argparse.Namespace) -> tuple[list[Layout], list[str]]:
    """Return the spools of a store on this host, after what they have was moved, and what was not moved."""
    from tracker.recorder.send import send_waiting
    from tracker.recorder.spool import list_spools

    folder = options.spool or load_settings().spool
    remotes = {each: remote_of(each) for each in list_spools(folder)} if folder is not None else {}
    spools = {each: remote for each, remote in remotes.items() if remote and remote.folder == layout.root}
    if options.spool is not None and not spools:
        raise StoreError(f"{options.spool} has no spool of the store {layout.root}")
    notes = []
    for spool, remote in spools.items():
        if not options.dry_run:
            notes += [f"spool {spool.root}: {fault}" for fault in send_waiting(spool, remote)[1]]
    return list(spools), notes


def _elsewhere(layout: Layout) -> str:
    return (
        f"{layout.root} is on a network file system. Run this command on the host that runs "
        "`tracker server` or `tracker sync` there."
    )


def _collect_all(
    layout: Layout,
    outboxes: list[Layout],
    spools: list[Layout],
    rules: list[Rule],
    options: argparse.Namespace,
) -> Report:
    from tracker.recorder.follow import Follower
    from tracker.recorder.open_store import open_store
    from tracker.store.gc.collect import collect
    from tracker.store.objects.store_file import require_store

    require_store(layout)
    if is_shared(load_settings(store=layout.root)):
        raise StoreError(_elsewhere(layout))
    store = open_store(layout.root, create=False)
    try:
        follower = Follower(store)
        # Apply journals first, as readers do. A dry run changes nothing, so it does not seal.
        follower.poll(seal_ended=not options.dry_run)
        report = collect(store, outboxes, rules, spools=spools, grace=options.grace, dry_run=options.dry_run)
    finally:
        store.close()
    report.notes += [f"journal {name}: {fault}" for name, fault in sorted(follower.faults.items())]
    return report


def _rules(layout: Layout, options: argparse.Namespace) -> list[Rule]:
    from tracker.store.gc.retention import parse_rule, read_rules

    if (options.keep is None) != (options.only is None):
        raise UsageError("--keep needs --only 'ENTITY/PROJECT/NAME', and --only needs --keep.")
    given = [parse_rule(options.only, options.keep)] if options.keep is not None else []
    return given + read_rules(layout.retention)


def _as_json(report: Report) -> str:
    return json.dumps(
        {**asdict(report), "items": [item._asdict() for item in report.items], "bytes": report.bytes}
    )


def _as_text(report: Report, grace: float, *, dry_run: bool) -> str:
    versions = [(item.name, item.reason) for item in report.items if item.kind == "version"]
    lines = [as_table(versions)] if versions else []
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    for item in report.items:
        if item.kind != "version":
            count, size = groups.get((item.kind, item.reason), (0, 0))
            groups[item.kind, item.reason] = (count + 1, size + item.bytes)
    if groups:
        rows = [
            (str(count), _WORDS[kind][count != 1], as_size(size), reason)
            for (kind, reason), (count, size) in groups.items()
        ]
        lines.append(as_table(rows, right=(0, 2)))
    if report.young:
        word = _WORDS["blob"][report.young != 1]
        lines.append(
            f"{report.young} unreferenced {word}, {as_size(report.young_bytes)}, kept: younger than "
            f"the grace period of {as_span(grace)}"
        )
    lines += report.notes
    done = "would be freed" if dry_run else "freed"
    lines.append(f"{as_size(report.bytes)} {done}")
    return "\n".join(lines)
