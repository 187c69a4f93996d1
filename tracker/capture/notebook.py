"""Access to IPython: the executed cells, and a hook before each cell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tracker.capture.logs import Logged

PATH = "code/_session_history.ipynb"


def before_cells(call: Callable[[], None], *, stop: bool = False) -> None:
    """Register a function to call before each cell, or remove it. Does nothing outside of IPython.

    Args:
        call: The function.
        stop: Whether to remove the function.
    """
    events = getattr(_shell(), "events", None)
    if events is not None:
        with suppress(ValueError):  # it was not registered
            (events.unregister if stop else events.register)("pre_execute", call)


def session_history() -> bytes | None:
    """Return the session's cells and their text output as a notebook file, or None outside of IPython."""
    manager = getattr(_shell(), "history_manager", None)
    if manager is None:
        return None
    cells = []
    with Logged("read the history of the notebook"):  # a database of IPython, which may be damaged
        for _, number, (source, output) in manager.get_range(output=True):
            shown = [{"output_type": "stream", "name": "stdout", "text": output}] if output else []
            cells.append(
                {
                    "cell_type": "code",
                    "execution_count": number,
                    "metadata": {},
                    "outputs": shown,
                    "source": source,
                }
            )
    if not cells:
        return None
    kernel = {
        "display_name": f"Python {sys.version_info[0]}",
        "language": "python",
        "name": f"python{sys.version_info[0]}",
    }
    import json

    metadata = {"kernelspec": kernel, "language_info": {"name": "python", "version": sys.version.split()[0]}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(notebook, indent=1).encode("utf-8", "replace")


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None
