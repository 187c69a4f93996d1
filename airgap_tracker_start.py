"""Start a process of tracker's own: the command line or the recorder.

No other package has this module's name, so ``python`` finds it whatever the user's repository contains.
"""

from __future__ import annotations

import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


class _OwnPackages:
    """Finds ``tracker`` and ``server`` beside this file, before any other package of these names."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a package of tracker's; None for all other modules."""
        if name not in ("tracker", "server"):
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [HERE])


def main() -> None:
    """Run the command line: the console script ``tracker``."""
    start("tracker.cli.main", sys.argv[1:])


def start(module: str, arguments: list[str]) -> None:
    """Call a module's ``main`` in a process that imports what is installed, not what a repository has.

    Args:
        module: Full name of a module of tracker's.
        arguments: What its ``main`` gets.
    """
    _search_pythonpath_last()
    sys.meta_path.insert(0, _OwnPackages())
    from importlib import import_module

    import_module(module).main(arguments)


def _search_pythonpath_last() -> None:
    """Remove the working folder from ``sys.path``; move the folders of PYTHONPATH to its end.

    A repository may have a ``json.py`` or a ``numpy``. The folders stay, because some clusters install
    packages by PYTHONPATH. The folder of tracker itself keeps its place: its dependencies may be in it.
    """
    if sys.path[:1] == [HERE] and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder of this script
    given = os.environ.get("PYTHONPATH", "")
    # As `site` writes them: absolute, without a slash at the end; an empty one is the working folder.
    last = {os.path.abspath(each) for each in given.split(os.pathsep)} - {HERE} if given else set()
    sys.path[:] = sorted(filter(None, sys.path), key=last.__contains__)
    if HERE not in sys.path:
        sys.path.append(HERE)


if __name__ == "__main__":
    start(sys.argv[1], sys.argv[2:])
