"""Options of ``tracker server`` for proxies and for signing in through another system.

Each option has an environment variable, which a container or a service file can set.
"""

from __future__ import annotations

import argparse
import os
from typing import Any


def add_sign_in_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this module."""
    _add(
        parser,
        "--proxy",
        "ADDRESSES",
        "proxies in front of the server: addresses and networks, separated by commas; only they may name the "
        "address of the client (X-Forwarded-For), the scheme and the user",
    )
    _add(
        parser,
        "--trusted-header",
        "HEADER",
        "header in which the proxies of --proxy name the user whom they have authenticated, for example "
        "X-Remote-User",
    )


def _add(parser: argparse.ArgumentParser, option: str, value: str, text: str) -> None:
    name = variable(option)
    parser.add_argument(option, metavar=value, default=os.environ.get(name) or None, help=f"{text} [{name}]")


def variable(option: str) -> str:
    """Return the environment variable of an option."""
    return "TRACKER_" + option.removeprefix("--").replace("-", "_").upper()


def sign_in_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``ServerSettings`` that the options of this module set."""
    return {"proxies": options.proxy, "trusted_header": options.trusted_header}
