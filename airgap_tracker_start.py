"""Start of tracker's own processes: the command line and the recorder.

No other package has this module's name, so Python finds it even if the user's repository has a ``tracker``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


class _OwnPackages:
    """Import finder for ``tracker`` and ``server`` in this file's folder; other packages do not hide them."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of ``tracker`` or ``server``; None for all other modules."""
        if name not in ("tracker", "server"):
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [HERE])


def main() -> None:
    """Run the console script ``tracker``."""
    start("tracker.cli.main", sys.argv[1:])


def start(module: str, arguments: list[str]) -> None:
    """Call a module's ``main``. The process imports installed packages, not modules of the user's repository.

    Args:
        module: Full name of a module of tracker.
        arguments: Arguments of ``main``.
    """
    _search_pythonpath_last()
    sys.meta_path.insert(0, _OwnPackages())
    from importlib import import_module

    import_module(module).main(arguments)


def _search_pythonpath_last() -> None:
    """Remove the working folder from ``sys.path``, and move the folders of PYTHONPATH to its end.

    The user's repository may contain a ``json.py`` or a ``numpy``. The folders of PYTHONPATH stay in the
    list, because some clusters install packages there. The folder of tracker itself keeps its position,
    because tracker's dependencies may be in the same folder.
    """
    if sys.path[:1] == [HERE] and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder of this script
    given = os.environ.get("PYTHONPATH", "")
    # In the form that `site` uses: absolute, without a final slash. An empty entry is the working folder.
    last = {os.path.abspath(each) for each in given.split(os.pathsep)} - {HERE} if given else set()
    sys.path[:] = sorted(filter(None, sys.path), key=last.__contains__)
    if HERE not in sys.path:
        sys.path.append(HERE)


if __name__ == "__main__":
    start(sys.argv[1], sys.argv[2:])
