"""The commands ``tracker server`` and ``tracker key``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import UsageError
from tracker.ground.settings import load_settings
from tracker.store.objects.layout import Layout

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    server = commands.add_parser("server", help="serve the dashboard and the API")
    add_store(server)
    server.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, only this machine)"
    )
    server.add_argument("--port", type=_port, default=8080, help="port; 0 means a free port (default: 8080)")
    server.add_argument(
        "--url",
        help="public address of the server behind a proxy, for example https://example.org/tracker",
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
    server.set_defaults(run=_serve)
    key = commands.add_parser("key", help="create a new API key for the server and print it")
    add_store(key)
    key.set_defaults(run=_make_key)


def _port(text: str) -> int:
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


def store_of(options: argparse.Namespace) -> Path:
    """Return the store from the option ``--store``, else from the settings."""
    return load_settings(store=options.store.absolute() if options.store else None).store


def _serve(options: argparse.Namespace) -> None:
    if options.link:
        from server.sign_in_link import new_link  # without the server, which takes a second to import

        print(new_link(Layout(store_of(options))))
        return
    try:
        from server.main import serve
        from server.settings import ServerSettings
    except ImportError as error:
        raise UsageError(
            f"The server is not installed: {error}. Run: pip install 'airgap-tracker[server]'"
        ) from error
    settings = ServerSettings(store_of(options), options.host, options.port, options.no_key, options.url)
    if settings.no_key and not settings.on_loopback:
        raise UsageError(
            f"--no-key lets everyone who can reach {settings.host} read and write. "
            "Leave it out, or listen on 127.0.0.1."
        )
    serve(settings)


def _make_key(options: argparse.Namespace) -> None:
    from server.keys import make_key
    from tracker.recorder.open_store import open_store

    print(make_key(open_store(store_of(options), create=False)))
