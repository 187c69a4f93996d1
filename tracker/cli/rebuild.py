"""The command ``tracker rebuild``: rebuild the catalog from published files and journals."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tracker.cli.server import add_store, store_of
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.store.recovery.rebuild import Rebuilt

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    rebuild = commands.add_parser(
        "rebuild", help="rebuild a store's catalog from its published files and journals"
    )
    add_store(rebuild)
    rebuild.add_argument(
        "--without-people",
        action="store_true",
        help="continue even if users, roles, private projects and API keys are lost, because people.json and "
        "the former catalog are missing or damaged",
    )
    rebuild.set_defaults(run=_rebuild)


def _rebuild(options: argparse.Namespace) -> None:
    from tracker.recorder.failure_file import note_failures
    from tracker.recorder.follow import Follower
    from tracker.recorder.open_store import open_store
    from tracker.store.ingest.salvage import clear_forgotten
    from tracker.store.objects.store_file import make_folders, require_store, require_writable
    from tracker.store.recovery.open_catalog import hold_exclusively
    from tracker.store.recovery.orphan_segments import list_orphans
    from tracker.store.recovery.rebuild import rebuild

    layout = Layout(store_of(options))
    require_store(layout)
    require_writable(layout)
    make_folders(layout)
    with hold_exclusively(layout) as hold:
        found = rebuild(layout, hold, without_people=options.without_people)
    store = open_store(layout.root, create=False)
    try:
        follower = Follower(store)
        look = follower.poll(seal_ended=False)
        salvaged = clear_forgotten(store, found.forgotten, set(follower.faults))
        follower.poll()
        note_failures(layout, follower.faults)
        orphans = list_orphans(store)
    finally:
        store.close()
    print(
        f"{layout.root}: catalog rebuilt from {found.runs} run files and {found.versions} artifact versions; "
        f"{look.applied} journal records applied"
    )
    for line in _notes(found):
        print(f"  {line}")
    broken = [*found.broken, *salvaged, *follower.problems(), *orphans]
    for line in broken:
        print(f"tracker: {line}", file=sys.stderr)
    if broken:
        sys.exit(1)


def _notes(found: Rebuilt) -> list[str]:
    notes = []
    if found.restored:
        notes.append(
            f"published files that were missing, damaged or old, and were written again from the former "
            f"catalog: {len(found.restored)}; the first is {found.restored[0]}"
        )
    if found.keys is None:
        notes.append(
            "API keys could not be recovered. Restore them from a backup, or make a new key: `tracker key`."
        )
    elif found.keys:
        notes.append(f"API keys recovered: {found.keys}")
    if found.users:
        log = "" if found.audited else "; the audit log is lost"
        notes.append(f"users recovered: {found.users}; everyone signs in again in the browser{log}")
    if found.kept is not None:
        notes.append(f"the damaged catalog is kept as {found.kept.name}")
    return notes
