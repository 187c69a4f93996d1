"""The command ``tracker open``: it shows the files of other programs in place, without importing them."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.cli.server import port_number
from tracker.errors import UsageError
from tracker.ground.settings import load_settings
from tracker.ground.terminal import printable, say
from tracker.store.objects.atomic_files import Durability
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    from tracker.importing.folder_tree import Candidate, FolderTree

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# The thread that reads files must not delay the answers of the server: it gives way this often (seconds).
_SWITCH_SECONDS = 0.001
_SEARCH_SECONDS = 1.0


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    command = commands.add_parser(
        "open", help="show wandb folders, TensorBoard logs and CSV logs in the dashboard, without importing"
    )
    command.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders or files, only read")
    command.add_argument(
        "--kind", choices=("wandb", "tensorboard", "csv"), help="only files of this program (default: all)"
    )
    command.add_argument("--port", type=port_number, default=0, help="port (default: a free one)")
    command.add_argument("--no-browser", action="store_true", help="do not open a browser")
    command.set_defaults(run=_open)


def _open(options: argparse.Namespace) -> None:
    folders = list(dict.fromkeys(each.absolute() for each in options.folders))
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"{folder} does not exist.")
    gc.disable()  # as in `tracker server`
    stores = [each for each in folders if Layout(each).description.is_file()]
    browse = None if options.no_browser or not _has_display() else _browse
    if stores and len(folders) > 1:
        raise UsageError(f"{stores[0]} is a store of tracker. Open it alone: tracker open {stores[0]}")
    if stores:
        _serve_store(stores[0], options.port, browse)
    else:
        _serve_folders(folders, options, browse)


def _serve_store(folder: Path, port: int, browse: Callable[[str], object] | None) -> None:
    from tracker.reading.open_reader import is_journal_only
    from tracker.recorder.read_only import ReadOnlyStore

    serve, settings_class = _server()
    store = ReadOnlyStore(folder, from_files=is_journal_only(load_settings(store=folder)))
    try:
        serve(settings_class(folder, port=port, in_place=(folder,)), store, None, browse)
    finally:
        store.close()


def _serve_folders(
    folders: list[Path], options: argparse.Namespace, browse: Callable[[str], object] | None
) -> None:
    from tracker.importing.folder_tree import FolderTree
    from tracker.importing.growing_output import LinkedBlobs
    from tracker.importing.in_place import KINDS, InPlace, project_names
    from tracker.importing.opened_cache import OpenedCache
    from tracker.recorder.main import hide_pandas
    from tracker.recorder.open_store import open_store

    hide_pandas()
    entity = load_settings().entity
    kinds = (options.kind,) if options.kind else KINDS
    cache = OpenedCache(folders, [entity, *kinds])
    if not cache.take():
        _show_open_one(cache.layout, browse)
        return
    cache.remove_old()
    tree = FolderTree(folders, kinds)
    found: list[Candidate] = []
    while not found and not tree.is_whole:
        found = tree.look(_SEARCH_SECONDS)
    if not found:
        cache.save(None)
        raise UsageError(_nothing(folders, tree, options.kind))
    for each in tree.stores:
        say(printable(f"{each} is a store of tracker. To see it: tracker open {each}"))
    serve, settings_class = _server()
    Durability.required = False
    known = cache.load()
    store = open_store(cache.layout.root)
    store.blobs = LinkedBlobs.of(store.blobs)
    reading = InPlace(store, tree, project_names(folders), entity, known, cache.save)
    reading.add(found)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # A closed terminal ends the server as Ctrl-C does.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        serve(settings_class(store.root, port=options.port, in_place=tuple(folders)), store, reading, browse)
    finally:
        reading.stop()
        store.close()


def _server() -> tuple[Callable[..., None], Callable[..., Any]]:
    try:
        from server.main import serve
        from server.settings import ServerSettings
    except ImportError as error:
        raise UsageError(
            f"The server is not installed: {error}. Run: pip install 'airgap-tracker[server]'"
        ) from error
    return serve, ServerSettings


def _nothing(folders: list[Path], tree: FolderTree, kind: str | None) -> str:
    """Return why there is nothing to show."""
    looked_for = {
        "wandb": "*.wandb (wandb)",
        "tensorboard": "*tfevents* (TensorBoard)",
        "csv": "metrics.csv (Lightning)",
    }
    names = [looked_for[kind]] if kind else list(looked_for.values())
    text = f"{', '.join(map(str, folders))}: no files to show. Looked for {', '.join(names)}."
    if tree.stores:
        text += f" {tree.stores[0]} is a store of tracker: tracker open {tree.stores[0]}."
    for path, problem in list(tree.problems.items())[:1]:
        text += f" {path} cannot be read: {problem}."
    if tree.links:
        text += f" {tree.links} links to folders were not followed: name their targets."
    return printable(text)


def _show_open_one(layout: Layout, browse: Callable[[str], object] | None) -> None:
    """Print a link to the server that shows the same folders already."""
    from server.sign_in_link import new_link

    link = new_link(layout)
    print(f"These folders are open already. Sign in (once, within 15 minutes): {link}")
    if browse is not None:
        browse(new_link(layout))


def _has_display() -> bool:
    """Return whether a person at this terminal can see a browser."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"
    return bool(display) and sys.stdout.isatty()


def _browse(link: str) -> None:
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
