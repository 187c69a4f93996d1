"""The commands ``tracker cp``, ``mv`` and ``merge``: copy and move runs between stores and servers."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.cli.bundle import describe_plan, open_caught_up, open_source, plan_as_json
from tracker.cli.output import as_json
from tracker.cli.run_selection import NoRunError, Selection, add_selection, open_selection
from tracker.errors import Error, UsageError
from tracker.ground.settings import load_settings

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.bundles.manifest import Source
    from tracker.bundles.plan import Plan
    from tracker.ground.names import RunPath
    from tracker.recorder.outbox import Remote
    from tracker.store.store import Store

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_ALSO_ARCHIVED = {"archived": {"$in": [True, False]}}
DEST_HELP = "./FOLDER or /FOLDER of a store, or http://SERVER"


class Target(NamedTuple):
    """Where runs go: a folder, a server or a project; the others are None."""

    folder: Path | None = None
    remote: Remote | None = None
    project: tuple[str | None, str] | None = None


class Result:
    """The result of a command, for its output.

    Args:
        dry_run: Whether nothing is changed.

    Attributes:
        lines: Lines about what was done.
        problems: Lines about what could not be done.
        plans: The changes of stores.
        copied: The runs that were sent to a server.
        known: The runs that the server had already.
        deleted: The runs that were deleted in the source.
        segments: The segments of the source that were copied.
    """

    def __init__(self, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.lines: list[str] = []
        self.problems: list[str] = []
        self.plans: list[Plan] = []
        self.copied: list[RunPath] = []
        self.known: list[RunPath] = []
        self.deleted: list[RunPath] = []
        self.segments: set[str] = set()

    def take(self, plan: Plan, problems: Sequence[str] = ()) -> None:
        """Add the changes of a store."""
        self.plans.append(plan)
        self.problems += dict.fromkeys((*plan.problems, *problems))

    def show(self, *, json: bool) -> None:
        """Print the result; exit with 1 if there are problems."""
        for line in self.problems:
            print(f"tracker: {line}", file=sys.stderr)
        if json:
            merged: dict[str, Any] = {
                "copied": ["/".join(run) for run in self.copied],
                "already_there": ["/".join(run) for run in self.known],
                "deleted_here": ["/".join(run) for run in self.deleted],
                "dry_run": self.dry_run,
                "problems": self.problems,
            }
            for plan in self.plans:
                for key, values in plan_as_json(plan).items():
                    merged.setdefault(key, []).extend(values)
            print(as_json(merged))
        else:
            for line in self.lines:
                print(line)
            for plan in self.plans:
                for line in describe_plan(plan, done=not self.dry_run):
                    print(line)
            for run in self.deleted:
                print(f"{'/'.join(run)}: deleted here. Restore with: tracker rm --undo {'/'.join(run)}")
        if self.problems:
            sys.exit(1)


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    copy = commands.add_parser("cp", help="copy runs with their artifacts to another store or server")
    move = commands.add_parser(
        "mv", help="move runs with their artifacts to another store or server, or to another project"
    )
    for command in (copy, move):
        add_selection(command)
        command.add_argument(
            "dest",
            metavar="DEST",
            help=DEST_HELP if command is copy else f"{DEST_HELP}, or [ENTITY/]PROJECT in the same store",
        )
        command.add_argument("--dry-run", action="store_true", help="only print what would be done")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    copy.set_defaults(run=_copy, moves=False)
    move.set_defaults(run=_copy, moves=True)
    merge = commands.add_parser("merge", help="copy all runs of a store into another one (first a dry run)")
    merge.add_argument("source", type=Path, metavar="STORE", help="the folder of the store to copy")
    merge.add_argument(
        "--into", type=Path, required=True, metavar="STORE", help="the store that gets the runs"
    )
    merge.add_argument("--apply", action="store_true", help="do it; without this option nothing is changed")
    merge.add_argument(
        "--name", help="name of the source, for aliases of versions with taken numbers (default: its folder)"
    )
    merge.add_argument("--json", action="store_true", help="print the result as JSON")
    merge.set_defaults(run=_merge)


def parse_target(text: str) -> Target:
    """Return the place that a text names.

    Raises:
        UsageError: The address of a server is invalid.
    """
    from tracker.recorder.outbox import Remote, check_url

    if text.startswith(("http://", "https://")):
        url = check_url(text)
        return Target(remote=Remote(url, load_settings(base_url=url).api_key))
    path = Path(text).expanduser()
    if text.startswith(("/", "./", "../", "~")) or text in (".", "..") or (path / "store.json").is_file():
        return Target(folder=path.absolute())
    entity, _, project = text.rpartition("/")
    return Target(project=(entity or None, project))


def _copy(options: argparse.Namespace) -> None:
    target = parse_target(options.dest)
    selection = open_selection(options)
    if options.moves and selection.api.settings["base_url"] is None:
        _require_changeable(selection)
    runs = _select(selection, options)
    result = Result(options.dry_run)
    if target.project is not None:
        if not options.moves:
            raise UsageError(
                f"{options.dest!r} is neither a store nor a server. A folder of a new store begins with ./ "
                "or /. A run has one place in a store: to change its project, use tracker mv."
            )
        _move_to_project(runs, *target.project, result)
    else:
        if options.moves:
            _require_ended(runs)
        with ExitStack() as closing:
            _copy_elsewhere(selection, runs, target, result, closing, moves=options.moves)
    result.show(json=options.json)


def _select(selection: Selection, options: argparse.Namespace) -> list[Run]:
    """Return the runs of a command line; with only ``--project``, all runs of the project."""
    if options.project and not (options.runs or options.query or options.job):
        found = [
            run
            for place in selection.projects
            for run in selection.api.runs("/".join(place), _ALSO_ARCHIVED, per_page=200)
        ]
    else:
        found = list(selection.select(options))
    if not found:
        raise NoRunError("No run matches. List the runs with: tracker ls")
    return found


def _require_changeable(selection: Selection) -> None:
    """Check that the runs can be deleted here after they were copied.

    Raises:
        HeldElsewhereError: Another host keeps the catalog of the store.
        ReadOnlyError: This process may only read the store.
    """
    from tracker.reading.open_reader import open_to_read

    store = open_to_read(selection.api._settings)
    try:
        store.check_lease()
    finally:
        store.close()


def _require_ended(runs: Sequence[Run]) -> None:
    for run in runs:
        if run.state == "running":
            raise UsageError(f"Run {run.storage_id} is still running, so nothing was moved. End it first.")


def _move_to_project(runs: Sequence[Run], entity: str | None, project: str, result: Result) -> None:
    for run in runs:
        place, name = f"{entity or run.entity}/{project}", run.storage_id
        if not result.dry_run:
            try:
                run.move(project, entity)
            except Error as error:
                result.problems.append(error.message)
                continue
        result.lines.append(f"{name}: {'would be moved' if result.dry_run else 'moved'} to {place}")


def _copy_elsewhere(
    selection: Selection,
    runs: Sequence[Run],
    target: Target,
    result: Result,
    closing: ExitStack,
    *,
    moves: bool,
) -> None:
    """Copy runs to a store or a server. With ``moves``, check the copies and delete the runs here."""
    from tracker.recorder.outbox import Remote

    url = selection.api.settings["base_url"]
    names = [(run.entity, run.project, run.id) for run in runs]
    if url is not None:
        origin = Remote(url, selection.api.api_key)
        if target.remote is not None and target.remote.url == origin.url:
            raise UsageError(f"{url} is the server that has these runs.")
        _copy_from_server(origin, names, target, result, closing, moves=moves)
    else:
        root = Path(selection.api._settings.store)
        if target.folder is not None and target.folder.resolve() == root.resolve():
            raise UsageError(f"{root} is the store that has these runs.")
        store = closing.enter_context(open_source(root))
        _copy_from_store(store, names, target, result, closing, moves=moves)
    if moves and not result.dry_run:
        _delete(runs, result)


def _copy_from_store(
    store: Store, names: list[RunPath], target: Target, result: Result, closing: ExitStack, *, moves: bool
) -> None:
    from tracker.bundles.copies import check_copy_on_server, segments_on_server
    from tracker.bundles.staging import Staging
    from tracker.bundles.store_source import StoreSource, name_of
    from tracker.recorder.upload import list_runs, upload

    wanted = set(names)
    found = [run for run in list_runs(store) if run.name in wanted]
    if target.folder is not None:
        receiver = _open_target(target.folder, names, result, closing)
        if receiver is not None:
            staging = closing.enter_context(Staging(receiver.layout.temporary))
            source = StoreSource(store, found, staging)
            result.problems += source.problems
            _receive(source, receiver, result, moves=moves)
        return
    remote = target.remote
    assert remote is not None
    if result.dry_run:
        known = segments_on_server(remote, [segment for run in found for _, segment, _ in run.segments])
        for run in found:
            there = all(segment in known for _, segment, _ in run.segments)
            result.lines.append(f"{'/'.join(run.name)}: {'already there' if there else 'would be sent'}")
        return
    result.segments.update(segment for run in found for _, segment, _ in run.segments)
    sent = upload(store, remote, wanted, origin=name_of(store.root))
    result.problems += sent.problems
    result.problems += [f"{'/'.join(run)} was deleted on {remote.url}" for run in sent.deleted]
    result.problems += [f"{'/'.join(run)} has not ended: it is not complete there" for run in sent.live]
    result.copied += sent.sent
    result.known += sent.known
    result.lines += [f"{'/'.join(run)}: sent to {remote.url}" for run in sent.sent]
    result.lines += [f"{'/'.join(run)}: already there" for run in sent.known]
    if moves and not result.problems:
        with Staging(store.layout.temporary) as staging:
            check_copy_on_server(StoreSource(store, found, staging), remote)


def _copy_from_server(
    origin: Remote, names: list[RunPath], target: Target, result: Result, closing: ExitStack, *, moves: bool
) -> None:
    from tracker.bundles.copies import download_run
    from tracker.recorder.open_store import open_store

    if target.folder is not None:
        if result.dry_run:
            result.lines += [f"{'/'.join(name)}: would be copied from {origin.url}" for name in names]
            return
        receiver = _open_target(target.folder, names, result, closing)
        assert receiver is not None
        for name in names:
            with download_run(origin, name, receiver.layout.temporary) as source:
                if source.manifest.left_out:
                    result.problems.append(
                        f"{'/'.join(name)}: {origin.url} lacks the content of some of its files"
                    )
                _receive(source, receiver, result, moves=moves)
        return
    # A store between the two servers.
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="tracker-cp-")))
    between = Result(result.dry_run)
    if not result.dry_run:
        open_store(folder / "store").close()
        _copy_from_server(origin, names, Target(folder=folder / "store"), between, closing, moves=False)
        result.problems += between.problems
        with open_caught_up(folder / "store") as store:
            _copy_from_store(store, names, target, result, closing, moves=moves)
    else:
        result.lines += [f"{'/'.join(name)}: would be copied from {origin.url}" for name in names]


def _open_target(folder: Path, names: list[RunPath], result: Result, closing: ExitStack) -> Store | None:
    """Return the store that gets runs; None if it does not exist and this is a dry run."""
    if result.dry_run and not (folder / "store.json").is_file():
        result.lines += [f"{'/'.join(name)}: would be copied" for name in names]
        return None
    return closing.enter_context(open_caught_up(folder, create=True))


def _receive(source: Source, store: Store, result: Result, *, moves: bool) -> None:
    """Apply a source to a store, or add to the result what would change."""
    from tracker.bundles.copies import check_copy
    from tracker.bundles.plan import make_plan
    from tracker.bundles.receive import receive

    result.segments.update(segment for run in source.manifest.runs for segment in run.segments)
    live = ["/".join(run.name) for run in source.manifest.runs if not run.ended]
    result.problems += [f"{run} has not ended: it is not complete there" for run in live]
    if result.dry_run:
        result.take(make_plan(source, store))
        return
    received = receive(source, store)
    result.take(received.plan, received.problems)
    result.problems += [f"{'/'.join(run)} was deleted in {store.root}" for run in received.plan.deleted]
    if moves and not result.problems:
        check_copy(source, store)


def _delete(runs: Sequence[Run], result: Result) -> None:
    """Delete runs that were copied completely, with the artifacts that no other run uses."""
    if result.problems:
        result.problems.append("Nothing was deleted here, because not everything was copied.")
        return
    moved = {run.storage_id for run in runs}
    for run in runs:
        shared = any(
            user.storage_id not in moved for artifact in run.logged_artifacts() for user in artifact.used_by()
        )
        try:
            now = run._reader.run(run.entity, run.project, run.id)
            if not result.segments.issuperset(each.id for each in now.segments):
                raise UsageError("it was resumed in the meantime")
            run.delete(delete_artifacts=not shared)
        except Error as error:
            result.problems.append(f"{run.storage_id} was copied, but not deleted here: {error.message}")
            continue
        result.deleted.append((run.entity, run.project, run.id))
        if shared:
            result.lines.append(f"{run.storage_id}: its artifacts stay here too, because other runs use them")


def _merge(options: argparse.Namespace) -> None:
    from tracker.bundles.documents import copy_project_files
    from tracker.bundles.staging import Staging
    from tracker.bundles.store_source import StoreSource, name_of
    from tracker.ground.parsed_types import is_store_name
    from tracker.recorder.upload import list_runs

    name = name_of(options.source.absolute()) if options.name is None else options.name
    if not is_store_name(name):
        raise UsageError(f"Invalid name {name!r}. Use letters, digits, dots, hyphens and underscores.")
    if options.source.resolve() == options.into.resolve():
        raise UsageError("Both stores are the same folder.")
    result = Result(not options.apply)
    with (
        open_source(options.source.absolute()) as store,
        open_caught_up(options.into.absolute()) as receiver,
        Staging(receiver.layout.temporary) as staging,
    ):
        source = StoreSource(store, list_runs(store), staging, origin=name)
        result.problems += source.problems
        _receive(source, receiver, result, moves=False)
        result.lines += copy_project_files(store, receiver, dry_run=result.dry_run)
    result.show(json=options.json)
    if result.dry_run and not options.json:
        print("Nothing was changed. Add --apply to do this.")
