"""The commands ``tracker login`` and ``tracker verify``: set the server and its key, and check both."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli.server import add_store, store_of
from tracker.errors import Error, StoreError, UnsupportedError
from tracker.ground import config_files
from tracker.ground.settings import load_settings
from tracker.ground.terminal import Progress
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import require_writable

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    login = commands.add_parser("login", help="save the address of the server and its API key")
    login.add_argument("key", nargs="?", help="API key; saved in ~/.netrc")
    login.add_argument("--host", "--base-url", metavar="URL", help="address of the server")
    login.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="check the key with the server, unless --no-verify is given",
    )
    login.add_argument("--relogin", action="store_true", help=argparse.SUPPRESS)
    login.add_argument("--cloud", action="store_true", help=argparse.SUPPRESS)
    login.set_defaults(run=_login)
    verify = commands.add_parser("verify", help="log a run and an artifact, then read both back")
    verify.add_argument("--host", metavar="URL", help="address of a server (default: from the settings)")
    verify.add_argument(
        "--all",
        action="store_true",
        help="log nothing; check every stored file, and name each missing or damaged file",
    )
    verify.add_argument("--restart", action="store_true", help="with --all: do not resume an earlier check")
    add_store(verify)
    verify.set_defaults(run=_verify)


def _login(options: argparse.Namespace) -> None:
    from tracker.recorder.outbox import check_url
    from tracker.sdk.start.login import login

    if options.cloud:
        raise UnsupportedError("login --cloud", "name a tracker server with --host URL")
    login(options.key, host=options.host, verify=options.verify)
    if options.host:
        config_files.write(config_files.server_file(), {"base_url": check_url(options.host)})
        print(f"Runs are now sent to {check_url(options.host)} ({config_files.server_file()}).")


def _verify(options: argparse.Namespace) -> None:
    if options.all:
        _verify_all(options)
        return
    if options.host:
        os.environ["TRACKER_BASE_URL"] = options.host
    settings = load_settings()
    where = settings.base_url if settings.mode == "online" and settings.base_url else settings.store
    if where is settings.store:
        require_writable(Layout(settings.store))
    try:
        with tempfile.TemporaryDirectory() as folder:
            _log_and_read(Path(folder))
    except Error as error:
        print(f"{where}: {error.message}", file=sys.stderr)
        sys.exit(1)
    print(f"{where}: a run and an artifact were logged and read back unchanged")


def _verify_all(options: argparse.Namespace) -> None:
    from tracker.reading.open_reader import open_to_read
    from tracker.store.recovery.verify import forget_mark, list_items, verify

    root = store_of(options)
    store = open_to_read(load_settings(store=root))
    try:
        if options.restart:
            forget_mark(store.layout)
        items = list_items(store)
        progress = Progress(f"verifying {root}", sum(item.size for item in items))
        faults = 0

        def print_fault(line: str) -> None:
            nonlocal faults
            faults += 1
            print(line)

        found = verify(store, items, print_fault, progress.add)
        progress.close(whole=True)
    finally:
        store.close()
    names = {"part": "parts", "blob": "blobs", "published": "published files", "journal": "journals"}
    read, old = (
        ", ".join(f"{count} {names[kind]}" for kind, count in counts.items())
        for counts in (found.files, found.unchecked)
    )
    old = f"; {old} of an older tracker have no checksums" if old else ""
    print(f"{read or 'nothing'} checked, {faults} missing or damaged{old}")
    if faults:
        sys.exit(1)


def _log_and_read(folder: Path) -> None:
    import tracker

    content = os.urandom(100_000)
    (folder / "file").write_bytes(content)
    with tracker.init(project="verify", settings={"silent": True}) as run:
        for value in range(3):
            run.log({"value": value})
        artifact = tracker.Artifact(f"verify-{run.id}", "verify")
        artifact.add_file(str(folder / "file"))
        name = run.log_artifact(artifact).wait().qualified_name
    api = tracker.Api()
    rows = [row["value"] for row in api.run(run.path).scan_history()]
    if rows != [0, 1, 2]:
        raise StoreError(f"Run {run.path} is wrong: 0, 1, 2 were logged, but {rows} were read.")
    found = Path(api.artifact(name).download(str(folder / "again")))
    if (found / "file").read_bytes() != content:
        raise StoreError(f"Artifact {name} does not contain the bytes that were logged.")
