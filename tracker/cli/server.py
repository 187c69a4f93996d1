"""The command ``tracker server``, and the option ``--store`` of all commands."""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.cli.sign_in_options import add_sign_in_options, sign_in_settings
from tracker.errors import UsageError
from tracker.ground.settings import load_settings
from tracker.store.catalog.lease_holder import CATALOG_FOLDER
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    server = commands.add_parser("server", help="serve the dashboard and the API")
    add_store(server)
    server.add_argument(
        "--watch",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="serve the store in this folder, which other hosts share; given again, or with --store, only "
        "apply the journals in this folder",
    )
    add_catalog(server)
    server.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, only this machine)"
    )
    server.add_argument(
        "--port", type=port_number, default=8080, help="port; 0 means a free port (default: 8080)"
    )
    server.add_argument(
        "--url",
        help="public address of the server behind a proxy, for example https://example.org/tracker",
    )
    server.add_argument(
        "--frames",
        metavar="ORIGINS",
        default=os.environ.get("TRACKER_FRAMES") or None,
        help="sites that may show single panels in a frame, separated by commas, for example "
        "https://wiki.example.org (default: none) [TRACKER_FRAMES]",
    )
    server.add_argument(
        "--no-key",
        action="store_true",
        help="require no API key: every user of this machine can read and write (only on a loopback address)",
    )
    server.add_argument(
        "--link",
        action="store_true",
        help="do not start a server; print a new one-time link that signs a browser in to the running server",
    )
    add_sign_in_options(server)
    server.set_defaults(run=_serve)


def port_number(text: str) -> int:
    """Return the port in an argument."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"Invalid port {text!r}. Use a number from 0 to 65535.")
    return int(text)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--store``."""
    parser.add_argument(
        "--store",
        type=Path,
        default=None,
        help="folder of the store (default: from the settings, else tracker-store in this folder or above)",
    )


def add_catalog(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--catalog``."""
    parser.add_argument(
        "--catalog",
        metavar="FOLDER",
        type=Path,
        help="folder on a local disk for the catalogs of stores (default: the store; for a store on a "
        "network file system, a folder of this host) [TRACKER_CATALOG]",
    )


def use_catalog(options: argparse.Namespace) -> None:
    """Use the folder of the option ``--catalog`` for all stores that this process opens."""
    if options.catalog is not None:
        os.environ[CATALOG_FOLDER] = str(options.catalog.absolute())


def add_action(actions: Commands, name: str, run: Any, help_text: str) -> argparse.ArgumentParser:
    """Add an action of a command that has the option ``--store``, and return its parser.

    Args:
        actions: The actions of the command.
        name: Name of the action.
        run: The function that runs it.
        help_text: One line for the user.
    """
    parser = actions.add_parser(name, help=help_text, description=help_text)
    # --store may come before or after the action. SUPPRESS keeps a value that came before the action.
    parser.add_argument("--store", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


def store_of(options: argparse.Namespace) -> Path:
    """Return the store from the option ``--store``, else from the settings."""
    return load_settings(store=options.store.absolute() if options.store else None).store


def _serve(options: argparse.Namespace) -> None:
    watched = list(dict.fromkeys(each.absolute() for each in options.watch))
    if watched and options.store is None:
        options.store = watched[0]
    store = store_of(options)
    if options.link:
        from server.sign_in_link import new_link  # without the server, which takes a second to import

        print(new_link(Layout(store)))
        return
    use_catalog(options)
    gc.disable()  # imports make no garbage; `server.main` enables it again. Saves a seventh of the start
    try:
        from server.main import serve
        from server.settings import ServerSettings
    except ImportError as error:
        raise UsageError(
            f"The server is not installed: {error}. Run: pip install 'airgap-tracker[server]'"
        ) from error
    settings = ServerSettings(
        store,
        options.host,
        options.port,
        options.no_key,
        options.url,
        frames=options.frames,
        watched=tuple(each for each in watched if each != store),
        **sign_in_settings(options),
    )
    if settings.no_key and not settings.on_loopback:
        raise UsageError(
            f"--no-key lets everyone who can reach {settings.host} read and write. "
            "Leave it out, or listen on 127.0.0.1."
        )
    serve(settings)
