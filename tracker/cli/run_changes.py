"""The commands ``tracker rm`` and ``tracker tag``: delete runs, restore deleted runs, and change tags."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracker.cli.output import as_age, as_json, as_table, as_value, one_line
from tracker.cli.run_selection import (
    RUN_HELP,
    NoRunError,
    add_place,
    add_query,
    add_selection,
    open_selection,
)
from tracker.errors import CommError, Error, UsageError

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.cli.run_selection import Selection

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# The number of runs that the question before a deletion lists.
_LISTED = 20


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    rm = commands.add_parser("rm", help="delete runs, or restore deleted runs")
    rm.add_argument("-y", "--yes", action="store_true", help="do not ask")
    rm.add_argument("--dry-run", action="store_true", help="only print what would be deleted")
    rm.add_argument("--artifacts", action="store_true", help="also delete the artifacts that the runs logged")
    rm.add_argument("--undo", action="store_true", help="restore deleted runs: RUN is [[ENTITY/]PROJECT/]ID")
    rm.add_argument("--json", action="store_true", help="print the result as JSON")
    add_selection(rm)
    rm.set_defaults(run=_remove)
    # Without other options of one letter: they would take the tags to remove, such as -pending.
    tag = commands.add_parser("tag", help="add tags to runs and remove tags", add_help=False)
    tag.add_argument("--help", action="help", help="show this help message and exit")
    tag.add_argument(
        "words", nargs="+", metavar="RUN|+TAG|-TAG", help=f"{RUN_HELP}; a tag to add; a tag to remove"
    )
    add_query(tag)
    tag.add_argument("--json", action="store_true", help="print the runs and their tags as JSON")
    add_place(tag, short=False)
    # "-TAG" is an argument, as a negative number is.
    tag._negative_number_matcher = re.compile(r"-(?!q$)[^-]")
    tag.set_defaults(run=_tag)


def _remove(options: argparse.Namespace) -> None:
    selection = open_selection(options)
    if options.undo:
        _restore(selection, options)
        return
    runs = list(selection.select(options))
    if not runs:
        raise NoRunError("No run matches.")
    if not options.json:
        print(_listed(runs))
    if not (options.yes or options.dry_run):
        if options.json or not sys.stdin.isatty():
            raise UsageError(f"{_count(runs)} would be deleted. Use --yes to delete without a question.")
        if input(f"Delete {_count(runs)}? [y/N] ").strip().lower() not in ("y", "yes"):
            raise UsageError("Nothing was deleted.")
    results: list[dict[str, Any]] = []
    for run in runs:
        results.append({"entity": run.entity, "project": run.project, "id": run.id, "error": None})
        if not options.dry_run:
            try:
                run.delete(options.artifacts)
            except CommError:
                raise
            except Error as error:
                results[-1]["error"] = error.message
    failed = [result for result in results if result["error"] is not None]
    changed = 0 if options.dry_run else len(runs) - len(failed)
    if options.json:
        print(
            as_json({"total": len(runs), "changed": changed, "dry_run": options.dry_run, "results": results})
        )
    else:
        for result in failed:
            print(f"tracker: {result['error']}", file=sys.stderr)
        name = runs[0].storage_id if len(runs) == 1 else "ENTITY/PROJECT/ID"
        note = f" Restore with: tracker rm --undo {name}" if changed else ""
        print("Nothing was deleted." if options.dry_run else f"{changed} of {_count(runs)} deleted.{note}")
    if failed:
        sys.exit(1)


def _listed(runs: Sequence[Run]) -> str:
    rows = [("NAME", "RUN", "STATE", "DURATION", "STEP")]
    for run in runs[:_LISTED]:
        info = run._info
        rows.append(
            (one_line(run.name), run.storage_id, run.state, as_age(info.duration), as_value(info.last_step))
        )
    more = f"\nand {len(runs) - _LISTED} more" if len(runs) > _LISTED else ""
    return as_table(rows, right=(3, 4)) + more


def _count(runs: Sequence[Any]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _restore(selection: Selection, options: argparse.Namespace) -> None:
    if not options.runs or options.query or options.job:
        raise UsageError("Name the deleted runs by [[ENTITY/]PROJECT/]ID.")
    reader = selection.api._reader
    restored = []
    for text in options.runs:
        *path, run_id = text.strip("/").split("/")
        places = selection.projects if not path else [([selection.api.default_entity, *path][-2], path[-1])]
        found = [
            place
            for place in places
            if any(each.id == run_id for each in reader.deleted_runs(*place, limit=1000).runs)
        ]
        if len(found) != 1:
            raise NoRunError(f"{_count(found)} named {text!r} can be restored. Give ENTITY/PROJECT/ID.")
        restored.append(reader.restore_run(found[0][0], found[0][1], run_id))
        if not options.json:
            print(f"{'/'.join(found[0])}/{run_id} restored.")
    if options.json:
        results = [{"entity": run.entity, "project": run.project, "id": run.id} for run in restored]
        print(as_json({"restored": results}))


def _tag(options: argparse.Namespace) -> None:
    added = [word[1:] for word in options.words if word.startswith("+")]
    removed = [word[1:] for word in options.words if word.startswith("-")]
    options.runs = [word for word in options.words if not word.startswith(("+", "-"))]
    options.job = None
    if not (added or removed) or "" in (*added, *removed):
        raise UsageError("Name tags to add as +TAG, and tags to remove as -TAG.")
    edit = {"tags_added": added, "tags_removed": removed}
    edit = {name: tags for name, tags in edit.items() if tags}
    runs = list(open_selection(options).select(options))
    if not runs:
        raise NoRunError("No run matches.")
    for run in runs:
        run._edit(edit)
    if options.json:
        print(
            as_json(
                [
                    {"entity": run.entity, "project": run.project, "id": run.id, "tags": run.tags}
                    for run in runs
                ]
            )
        )
    else:
        print(as_table([(run.storage_id, one_line(run.name), one_line(", ".join(run.tags))) for run in runs]))
