"""The command ``tracker import``: runs that other programs have recorded become runs of a store."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.server import add_store, store_of
from tracker.errors import UsageError
from tracker.ground.settings import load_settings
from tracker.ground.terminal import is_terminal

if TYPE_CHECKING:
    from tracker.importing.importer import Imported

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    from tracker.importing.kinds import KINDS

    command = commands.add_parser("import", help="import runs of other trackers from their files")
    command.add_argument("kind", choices=KINDS, help="the program that wrote the files")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or folders")
    command.add_argument("-p", "--project", help="project of all runs (default: the one in the files)")
    command.add_argument("-e", "--entity", help="entity of all runs (default: from the settings)")
    command.add_argument("--dry-run", action="store_true", help="only show what would be imported")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    add_store(command)
    command.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> None:
    from tracker.importing.importer import Importer
    from tracker.importing.kinds import find_sources
    from tracker.recorder.main import hide_pandas
    from tracker.recorder.open_store import open_store
    from tracker.store.objects.layout import Layout

    hide_pandas()
    settings = load_settings(entity=options.entity, project=options.project)
    for path in options.paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist.")
    found = find_sources(options.kind, options.paths)
    if not found.sources and not found.problems:
        raise UsageError(f"{', '.join(map(str, options.paths))} contains no runs of {options.kind}.")
    for path, problem in found.problems:
        print(f"tracker: {path} cannot be imported: {problem}", file=sys.stderr)
    root = store_of(options)
    exists = Layout(root).description.is_file()
    store = open_store(root) if exists or not options.dry_run else None
    try:
        importer = Importer(
            store, settings.entity, settings.project, override=options.project, dry_run=options.dry_run
        )
        results = []
        for result in importer.run(found.sources, silent=options.json or not is_terminal()):
            results.append(result)
            if not options.json:
                print(_describe(result, dry_run=options.dry_run), flush=True)
            for problem in result.problems:
                print(f"tracker: {result.path}: {problem}", file=sys.stderr)
    finally:
        if store is not None:
            store.close()
    if options.json:
        failed = [{"path": str(path), "problem": problem} for path, problem in found.problems]
        print(json.dumps({"runs": [asdict(each) for each in results], "unreadable": failed}, indent=2))
    if found.problems or any(each.status == "failed" for each in results):
        sys.exit(1)


def _describe(result: Imported, *, dry_run: bool) -> str:
    name = f"{result.entity}/{result.project}/{result.run}"
    if result.status == "failed":
        return f"{name}: not imported"
    if result.status == "deleted":
        return f"{name}: not imported, because the run was deleted here"
    if result.status == "unchanged":
        return f"{name}: nothing new"
    counts = [f"{result.rows} rows"]
    counts += [f"{result.files} files"] if result.files else []
    counts += [f"{result.artifacts} artifacts"] if result.artifacts else []
    verb = "would import " if dry_run else "imported " if result.status == "new" else "added "
    return f"{name}: {verb}{', '.join(counts)}"
