"""What IPython knows: the cells that were executed, and when the next one begins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tracker.capture.logs import Logged

PATH = "code/_session_history.ipynb"


def before_cells(call: Callable[[], None], *, stop: bool = False) -> None:
    """Have something called before each cell; or no more. Outside of IPython there are no cells."""
    events = getattr(_shell(), "events", None)
    if events is not None:
        with suppress(ValueError):  # it was not registered
            (events.unregister if stop else events.register)("pre_execute", call)


def session_history() -> bytes | None:
    """Return the session's cells with their text output, as a notebook file; None outside of one."""
    manager = getattr(_shell(), "history_manager", None)
    if manager is None:
        return None
    cells = []
    with Logged("read the history of the notebook"):  # somebody else's history
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
