"""The command ``tracker sync``: apply or send waiting journals; ``--to`` sends the runs of a store."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.bundle import open_source
from tracker.cli.server import add_catalog, add_store, store_of, use_catalog
from tracker.errors import Error, NotFoundError, UsageError
from tracker.ground.settings import load_settings
from tracker.recorder.outbox import Remote, check_url, list_outboxes, remote_of, write_remote
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import is_read_only, require_store

if TYPE_CHECKING:
    from tracker.ground.names import RunPath
    from tracker.recorder.upload import Uploaded
    from tracker.store.store import Store

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_RUN = "[[ENTITY/]PROJECT/]RUN"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    sync = commands.add_parser(
        "sync",
        help="add all logged data to a store, and send data that waits for a server; "
        "with --to, send all ended runs of the store to that server",
    )
    sync.add_argument(
        "what",
        nargs="*",
        metavar="DIR|RUN",
        help="folders of stores (default: --store), or folders of spools: move what they have to their "
        f"stores; with --to also single runs: {_RUN}",
    )
    sync.add_argument("--to", metavar="URL", help="send all ended runs to this server")
    sync.add_argument(
        "--watch",
        action="store_true",
        help="apply the journals of all hosts as they grow, until this command is stopped",
    )
    add_catalog(sync)
    add_store(sync)
    sync.set_defaults(run=_sync)


def _sync(options: argparse.Namespace) -> None:
    folders = [Path(each).absolute() for each in options.what if Path(each).is_dir()]
    runs = [each for each in options.what if not Path(each).is_dir()]
    if runs and not options.to:
        raise UsageError(
            f"{runs[0]!r} is not the folder of a store. To send a run: tracker sync {runs[0]} --to URL"
        )
    use_catalog(options)
    if options.watch:
        if options.to:
            raise UsageError("--watch applies journals and --to sends runs. Run two commands.")
        _watch(folders or [store_of(options)])
        return
    remote = None
    if options.to:
        url = check_url(options.to)
        remote = Remote(url, load_settings(base_url=url).api_key)
    from tracker.recorder.spool import list_spools  # every command imports this module

    failed = False
    spool = load_settings().spool
    spools = {root: list_spools(root) for root in folders or ([] if spool is None else [spool])}
    for each in chain.from_iterable(spools.values()):
        target = remote_of(each)
        assert target is not None
        failed |= not _send(each, target)
    for root in [each for each in folders if not spools[each]] if folders else [store_of(options)]:
        failed |= not _sync_store(root, remote, runs)
    if failed:
        sys.exit(1)


def _watch(roots: list[Path]) -> None:
    """Apply the journals of several stores as they grow, until a signal stops this process.

    Raises:
        Error: A store cannot be opened. Nothing was applied.
        HeldElsewhereError: Other hosts have taken over the catalogs of all stores.
    """
    from tracker.recorder.open_store import open_store
    from tracker.recorder.poll import PollResult
    from tracker.recorder.watch import StoreWatch

    stores = []
    try:
        for root in dict.fromkeys(roots):
            require_store(Layout(root))
            stores.append(open_store(root, create=False))
    except Error:
        for store in stores:
            store.close()
        raise

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())

    def note(store: Store, found: PollResult) -> None:
        line = f"{store.root}: {found.applied} records applied, {found.live} runs still active\n"
        print(line, end="", flush=True)  # one write, because each store has a thread

    def end() -> None:
        if all(watch.lost is not None for watch in watches):
            stopped.set()

    watches = [StoreWatch(store, partial(note, store), end) for store in stores]
    for watch in watches:
        print(f"{watch.store.root}: watching (catalog {watch.store.catalog})", flush=True)
        watch.start()
    stopped.wait()
    for watch in watches:
        watch.stop()
    lost = [watch.lost for watch in watches if watch.lost is not None]
    for error in lost:
        print(f"tracker: {error.message}", file=sys.stderr)
    if lost:
        sys.exit(1)


def _sync_store(root: Path, to: Remote | None, runs: list[str]) -> bool:
    """Apply and send the waiting journals of a store; return whether all of them succeeded."""
    layout = Layout(root)
    if to is not None or not list_outboxes(root):
        require_store(layout)
    if to is not None and is_read_only(layout):
        with open_source(root) as store:
            return _upload(store, to, runs)
    done = True
    if layout.description.is_file():
        from tracker.recorder.open_store import open_store

        store = open_store(root, create=False)
        done = _apply(store)
        if to is not None:
            done &= _upload(store, to, runs)
        elif (url := load_settings().base_url) is not None:
            _hint(store, url)
    for outbox in list_outboxes(root):
        remote = remote_of(outbox)
        if remote is not None:
            # Continue with the other outboxes if one server cannot be reached.
            done &= _send(outbox, _with_given_key(outbox, remote))
    return done


def _apply(store: Store) -> bool:
    """Apply the journals of all hosts to a store; return whether no journal is left over."""
    from tracker.recorder.follow import Follower
    from tracker.store.recovery.orphan_segments import list_orphans

    follower = Follower(store)
    look = follower.poll()
    print(f"{store.root}: {look.applied} records applied, {look.live} runs still active")
    wrong = [*follower.problems(), *list_orphans(store)]
    for line in wrong:
        print(f"tracker: {line}", file=sys.stderr)
    return not wrong


def _upload(store: Store, to: Remote, names: list[str]) -> bool:
    """Send runs of a store to a server; return whether the server now has all of them."""
    from tracker.recorder.upload import upload

    wanted = {name for each in names for name in _find(store, each)} if names else None
    try:
        found = upload(store, to, wanted, lambda run: print(f"{to.url}: {run}", flush=True))
    except Error as error:
        print(f"tracker: {error.message}", file=sys.stderr)
        return False
    print(f"{to.url}: {_count(found)}")
    for run in found.deleted:
        print(f"tracker: {'/'.join(run)} was deleted on {to.url} and is not sent again", file=sys.stderr)
    for run in found.live:
        print(f"tracker: {'/'.join(run)} has not ended. Run this command again later.", file=sys.stderr)
    for line in found.problems:
        print(f"tracker: {line}", file=sys.stderr)
    return not found.problems and not (names and (found.live or found.deleted))


def _count(found: Uploaded) -> str:
    return f"{len(found.sent)} runs sent, {len(found.known)} already there, {len(found.live)} still active"


def _find(store: Store, name: str) -> list[RunPath]:
    """Return the runs with this name. There are several if projects share a run id.

    Raises:
        NotFoundError: No run has this name.
    """
    from sqlalchemy import select

    from tracker.store.catalog.models import Project, Run

    parts = name.strip("/").split("/")
    query = select(Project.entity, Project.name, Run.run_id).join(Run, Run.project_id == Project.id)
    for column, part in zip((Run.run_id, Project.name, Project.entity), reversed(parts), strict=False):
        query = query.where(column == part)
    with store.reading() as session:
        found = [(entity, project, run_id) for entity, project, run_id in session.execute(query)]
    if not found or len(parts) > 3:
        raise NotFoundError(f"{name!r} is neither a folder nor a run of {store.root} ({_RUN}).")
    return found


def _hint(store: Store, url: str) -> None:
    """Print how to send the runs of the store to the server that the settings name."""
    from sqlalchemy import func, select

    from tracker.store.catalog.models import Run

    with store.reading() as session:
        count = session.scalar(select(func.count(Run.id))) or 0
    if count:
        print(f"{store.root} contains {count} runs. To send them: tracker sync --to {url}")


def _with_given_key(outbox: Layout, remote: Remote) -> Remote:
    """Prefer TRACKER_API_KEY over the stored key if it is for this server: the stored key may be wrong."""
    given = load_settings()
    if given.api_key is None or (given.base_url or remote.url).rstrip("/") != remote.url:
        return remote
    remote = remote._replace(key=given.api_key)
    write_remote(outbox, remote)
    return remote


def _send(outbox: Layout, remote: Remote) -> bool:
    """Send an outbox or a spool, including journals of other hosts; return whether all of it was sent."""
    from tracker.recorder.send import send_waiting

    look, faults = send_waiting(outbox, remote)
    if look is not None:
        print(f"{remote.url}: {look.applied} records sent, {look.live} runs still active")
    for fault in faults:
        print(f"tracker: {fault}", file=sys.stderr)
    return not faults
