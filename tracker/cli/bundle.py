"""The commands ``tracker bundle create``, ``import`` and ``confirm``: carry runs across a gap in one file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.cli.output import as_json, as_size
from tracker.cli.run_selection import add_selection, open_selection
from tracker.cli.server import add_store, store_of
from tracker.errors import Error, StoreError, UsageError
from tracker.ground.settings import load_settings

if TYPE_CHECKING:
    from tracker.bundles.ledger import Receipt
    from tracker.bundles.plan import Plan
    from tracker.ground.names import RunPath
    from tracker.recorder.upload import StoredRun
    from tracker.store.store import Store

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    bundle = commands.add_parser("bundle", help="carry runs to a store without a network, in one file")
    actions = bundle.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser(
        "create", help="write runs with their artifacts to a file (default: all runs)"
    )
    add_selection(create)
    create.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the bundle")
    create.add_argument(
        "--since-last", action="store_true", help="leave out what earlier bundles of this store contain"
    )
    create.add_argument(
        "--recipient",
        action="append",
        metavar="KEY",
        help="encrypt the bundle for this public key of age or SSH (needs airgap-tracker[encryption])",
    )
    create.set_defaults(run=_create)
    load = actions.add_parser("import", help="check a bundle and add its runs to a store")
    load.add_argument("bundle", type=Path, metavar="FILE", help="the bundle")
    load.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="where to write the receipt (default: BUNDLE.receipt.json)",
    )
    load.add_argument("--identity", type=Path, metavar="FILE", help="private keys, for an encrypted bundle")
    load.add_argument(
        "--verify-signature",
        type=Path,
        metavar="ALLOWED_SIGNERS",
        help="import only if one of these keys has signed the bundle: see ssh-keygen(1)",
    )
    load.add_argument("--signature", type=Path, metavar="FILE", help="the signature (default: BUNDLE.sig)")
    add_store(load)
    load.set_defaults(run=_import)
    confirm = actions.add_parser(
        "confirm", help="record that a bundle has arrived; --free deletes its runs here"
    )
    confirm.add_argument("receipt", type=Path, metavar="RECEIPT", help="the receipt of tracker bundle import")
    confirm.add_argument(
        "--free",
        action="store_true",
        help="delete the runs of the bundle that the other side has completely. They can be restored",
    )
    confirm.add_argument("--artifacts", action="store_true", help="with --free, also delete their artifacts")
    confirm.add_argument("--dry-run", action="store_true", help="only print what would be deleted")
    add_store(confirm)
    confirm.set_defaults(run=_confirm)
    for action in (create, load, confirm):
        action.add_argument("--json", action="store_true", help="print the result as JSON")


@contextmanager
def open_caught_up(root: Path, *, create: bool = False) -> Iterator[Store]:
    """Open a store, apply its journals and seal the runs that have ended."""
    from tracker.recorder.follow import Follower
    from tracker.recorder.open_store import open_store

    store = open_store(root, create=create)
    try:
        follower = Follower(store)
        follower.poll()
        for line in follower.problems():
            print(f"tracker: {line}", file=sys.stderr)
        yield store
    finally:
        store.close()


@contextmanager
def open_source(root: Path) -> Iterator[Store]:
    """Open a store to copy from, with the records of its journals.

    A store that this process may not change is read through a private copy, and stays as it is.

    Raises:
        StoreError: Its owner has merged or sealed the parts of a run during the copy.
    """
    from tracker.reading.open_reader import only_reads, open_to_read

    settings = load_settings(store=root)
    if not only_reads(settings):
        with open_caught_up(root) as store:
            yield store
        return
    store = open_to_read(settings)
    try:
        yield store
    except FileNotFoundError as error:
        if not str(error.filename).startswith(f"{store.layout.source}{os.sep}"):
            raise
        raise StoreError(
            f"{error.filename} is gone: if the store changed during the copy, repeat the command"
        ) from error
    finally:
        store.close()


def _create(options: argparse.Namespace) -> None:
    from tracker.bundles.bundle_file import make_bundle
    from tracker.bundles.encryption import encrypt, load
    from tracker.bundles.ledger import known_to_others, ledger_of, note_sent
    from tracker.bundles.staging import Staging
    from tracker.bundles.store_source import NOTHING, StoreSource
    from tracker.store.objects.atomic_files import sync_file, sync_folder

    if options.recipient:
        load()
    options.store = store_of(options)
    output = options.output.absolute()
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist.")
    with open_source(options.store) as store:
        runs = select_runs(store, options)
        ledger = ledger_of(options.store, is_copy=store.layout.is_copy)
        known = known_to_others(ledger) if options.since_last else NOTHING
        with Staging(store.layout.temporary) as staging:
            source = StoreSource(store, runs, staging, known)
            manifest = source.manifest
            if manifest.journals:
                temporary = output.with_name(f".{output.name}.{manifest.bundle}.part")
                plain = store.layout.new_temporary() if options.recipient else temporary
                try:
                    with plain.open("xb") as file:
                        file.writelines(make_bundle(source))
                    if options.recipient:
                        encrypt(plain, temporary, options.recipient)
                    sync_file(temporary)
                    os.replace(temporary, output)
                    sync_folder(output.parent)
                except OSError as error:  # for example a full disk
                    raise StoreError(f"{output} cannot be written: {error.strerror or error}") from error
                finally:
                    temporary.unlink(missing_ok=True)
                    plain.unlink(missing_ok=True)
                note_sent(ledger, manifest)
    live = ["/".join(run.name) for run in manifest.runs if not run.ended]
    for line in [
        *source.problems,
        *(f"{run} has not ended: the next bundle will have the rest" for run in live),
    ]:
        print(f"tracker: {line}", file=sys.stderr)
    size = output.stat().st_size if manifest.journals else 0
    if options.json:
        print(
            as_json(
                {
                    "bundle": manifest.bundle if manifest.journals else None,
                    "runs": ["/".join(run.name) for run in manifest.runs],
                    "segments": len(manifest.journals),
                    "contents": len(manifest.contents),
                    "left_out_contents": len(manifest.needs),
                    "size": size,
                }
            )
        )
    elif manifest.journals:
        print(
            f"{output}: bundle {manifest.bundle}, {_count(len(manifest.journals), 'segment')} and "
            f"{_count(len(manifest.contents), 'file')} of {_count(len(runs), 'run')}, {as_size(size)}"
        )
    else:
        what = "Nothing new since the last bundle" if options.since_last else "These runs have not ended"
        print(f"{what}: no file was written.")
    if source.problems:
        sys.exit(1)


def select_runs(store: Store, options: argparse.Namespace) -> list[StoredRun]:
    """Return the runs of a store that the arguments of ``add_selection`` name; all without arguments."""
    from tracker.recorder.upload import list_runs

    runs = list_runs(store)
    if options.runs or options.query or options.job:
        wanted: set[RunPath] = {
            (run.entity, run.project, run.id) for run in open_selection(options).select(options)
        }
        runs = [run for run in runs if run.name in wanted]
    elif options.project or options.entity:
        entity, _, project = (options.project or "").rpartition("/")
        entity = entity or options.entity
        runs = [
            run
            for run in runs
            if (not project or run.name[1] == project) and (not entity or run.name[0] == entity)
        ]
    if not runs:
        raise UsageError("No run matches. List the runs with: tracker ls")
    return runs


def _import(options: argparse.Namespace) -> None:
    from tracker.bundles.bundle_file import BundleFile
    from tracker.bundles.encryption import decrypt, is_encrypted
    from tracker.bundles.ledger import make_receipt, missing_bundles, note_received, write_receipt
    from tracker.bundles.receive import receive
    from tracker.bundles.signature import verify_signature
    from tracker.bundles.staging import Staging

    bundle = options.bundle.absolute()
    receipt_file = options.receipt or bundle.with_name(f"{bundle.name}.receipt.json")
    if not os.access(receipt_file.absolute().parent, os.W_OK):
        raise UsageError(f"The receipt {receipt_file} cannot be written. Name another file with --receipt.")
    encrypted = is_encrypted(bundle)
    if options.verify_signature is not None:
        signature = options.signature or bundle.with_name(f"{bundle.name}.sig")
        signer = verify_signature(bundle, signature, options.verify_signature)
        if not options.json:
            print(f"{bundle}: signed by {signer}")
    if encrypted and options.identity is None:
        raise UsageError(f"{bundle} is encrypted. Name the file with your private key: --identity FILE")
    with open_caught_up(store_of(options), create=True) as store:
        with Staging(store.layout.temporary) as staging:
            if encrypted:
                plain = staging.path("bundle")
                decrypt(bundle, plain, options.identity)
                bundle = plain
            source = BundleFile(bundle, staging)
            source.verify()
            received = receive(source, store)
        receipt = make_receipt(source.manifest, received, str(store.root))
        missing = missing_bundles(store.layout, source.manifest)
        note_received(store.layout, receipt)
    write_receipt(receipt_file.absolute(), receipt)
    for each in missing:
        print(
            f"tracker: the earlier bundle {each} was not imported here: its runs may be incomplete",
            file=sys.stderr,
        )
    if source.manifest.left_out:
        print(
            f"tracker: {_count(source.manifest.left_out, 'file')} or artifacts are missing: the store of the "
            "bundle did not have their content",
            file=sys.stderr,
        )
    for line in received.problems:
        print(f"tracker: {line}", file=sys.stderr)
    if options.json:
        print(
            as_json(
                {"receipt": str(receipt_file), **plan_as_json(received.plan), "problems": received.problems}
            )
        )
    else:
        for line in describe_plan(received.plan, done=True):
            print(line)
        print(f"receipt: {receipt_file}")
    if received.problems:
        sys.exit(1)


def describe_plan(plan: Plan, *, done: bool) -> Iterator[str]:
    """Yield lines about what was applied, or would be.

    Args:
        plan: The changes.
        done: Whether the changes were made.
    """
    for name in plan.new:
        yield f"{'/'.join(name)}: {'copied' if done else 'would be copied'}"
    for name in plan.deleted:
        yield f"{'/'.join(name)}: not copied, because the run was deleted there"
    for place, target in plan.moves:
        yield f"{'/'.join(place)}: {'moved' if done else 'would be moved'} to {'/'.join(target[:2])}"
    for version in plan.versions:
        if version.alias is not None:
            how = "is new" if version.added else "has the same content"
            yield (
                f"{'/'.join(version.collection)}:v{version.number}: becomes v{version.copy}, which {how}, "
                f"with the alias {version.alias}"
            )
    yield f"{_count(len(plan.new), 'run')} {'copied' if done else 'to copy'}, {len(plan.known)} already there"


def plan_as_json(plan: Plan) -> dict[str, list[Any]]:
    """Return what was applied, or would be, as plain values."""
    return {
        "copied": ["/".join(name) for name in plan.new],
        "already_there": ["/".join(name) for name in plan.known],
        "deleted_there": ["/".join(name) for name in plan.deleted],
        "moved": [{"from": "/".join(place), "to": "/".join(target)} for place, target in plan.moves],
        "versions": [
            {
                "collection": "/".join(each.collection),
                "number": each.number,
                "copy": each.copy,
                "new": each.added,
                "alias": each.alias,
            }
            for each in plan.versions
        ],
    }


def _confirm(options: argparse.Namespace) -> None:
    from tracker.bundles.ledger import confirm, ledger_of, read_receipt
    from tracker.reading.open_reader import only_reads
    from tracker.store.ingest.deletion import delete_run
    from tracker.store.objects.layout import Layout
    from tracker.store.objects.store_file import require_store, require_writable

    if (options.artifacts or options.dry_run) and not options.free:
        raise UsageError("--artifacts and --dry-run belong to --free.")
    receipt = read_receipt(options.receipt)
    root = store_of(options)
    require_store(Layout(root))
    if options.free:
        require_writable(Layout(root))
    confirm(ledger_of(root, is_copy=only_reads(load_settings(store=root))), receipt, root)
    freed: list[str] = []
    problems: list[str] = []
    if options.free:
        with open_caught_up(root) as store:
            for run in _crossed(store, receipt):
                name = "/".join(run.name)
                try:
                    if not options.dry_run:
                        delete_run(store, *run.name, delete_artifacts=options.artifacts)
                    freed.append(name)
                except Error as error:
                    problems.append(f"{name}: {error.message}")
    for line in problems:
        print(f"tracker: {line}", file=sys.stderr)
    if options.json:
        print(
            as_json(
                {
                    "bundle": receipt.bundle,
                    "segments": len(receipt.segments),
                    "contents": len(receipt.contents),
                    "complete": receipt.complete,
                    "freed": freed,
                    "dry_run": options.dry_run,
                    "problems": problems,
                }
            )
        )
    else:
        part = "arrived" if receipt.complete else "arrived in part: the next bundle --since-last has the rest"
        print(f"bundle {receipt.bundle} {part}")
        for name in freed:
            print(f"{name}: {'would be deleted' if options.dry_run else 'deleted'}")
        if freed and not options.dry_run:
            print(f"Restore with: tracker rm --undo {freed[0]}")
    if problems:
        sys.exit(1)


def _crossed(store: Store, receipt: Receipt) -> Iterator[StoredRun]:
    """Yield the runs of a confirmed bundle that the other side has completely."""
    from tracker.bundles.ledger import read_sent
    from tracker.recorder.upload import list_runs
    from tracker.store.recovery.replay import replay_run

    arrived = {
        segment
        for sent in read_sent(store.layout)
        if sent.confirmed_at is not None
        for segment in sent.segments
    }
    for run in list_runs(store):
        if not all(sealed and segment in arrived for _, segment, sealed in run.segments):
            continue
        rest = replay_run(store, run.number, with_artifact_edits=True)
        if rest.left_out or (rest.records and rest.segment not in arrived):
            continue
        own = {segment for _, segment, _ in run.segments}.union([rest.segment])
        if not own.isdisjoint(receipt.segments):
            yield run


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
