"""The command ``tracker airgap pack``: one archive that installs tracker on a machine without a network."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_OLDEST = 10
_IMAGE = "airgap-tracker"


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    airgap = commands.add_parser(
        "airgap", help="pack what a machine without a network needs to install tracker"
    )
    actions = airgap.add_subparsers(dest="action", required=True, metavar="ACTION")
    help_text = "gather wheels, the container image and the documentation into one archive with an installer"
    pack = actions.add_parser("pack", help=help_text, description=help_text)
    pack.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.tar", help="the archive")
    pack.add_argument(
        "--python",
        type=_versions,
        default=[_THIS_PYTHON],
        metavar="LIST",
        help="versions of Python, such as 3.10,3.12 (default: the running one)",
    )
    pack.add_argument(
        "--extras",
        type=_words,
        default=["server", "media", "sso"],
        metavar="LIST",
        help="extras of the package (default: server,media,sso); none that requires torch",
    )
    image = pack.add_mutually_exclusive_group()
    image.add_argument("--image", default=_IMAGE, metavar="TAG", help=f"container image (default: {_IMAGE})")
    image.add_argument(
        "--no-image", dest="image", action="store_const", const=None, help="no container image"
    )
    docs = pack.add_mutually_exclusive_group()
    docs.add_argument(
        "--docs",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="folder of the documentation (default: that of the source checkout; mkdocs makes it a site)",
    )
    docs.add_argument("--no-docs", dest="docs", action="store_const", const=None, help="no documentation")
    pack.set_defaults(run=_pack)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word for each in text.split(",") if (word := each.strip())))


def _versions(text: str) -> list[str]:
    versions = _words(text)
    for each in versions:
        found = re.fullmatch(r"3\.(\d+)", each)
        if found is None or int(found[1]) < _OLDEST:
            raise argparse.ArgumentTypeError(
                f"Invalid Python version {each!r}. Use 3.{_OLDEST} or newer, such as 3.10,3.12."
            )
    if not versions:
        raise argparse.ArgumentTypeError("No Python version given. Example: 3.10,3.12")
    return versions


def _pack(options: argparse.Namespace) -> None:
    from tracker.cli import airgap_archive

    airgap_archive.pack(options)
