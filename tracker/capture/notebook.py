"""The cells that were executed in a notebook's session, as a notebook."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

PATH = "code/_session_history.ipynb"


def session_history() -> bytes | None:
    """Return the session's cells with their text output, as a notebook file; None outside of one."""
    module = sys.modules.get("IPython")
    shell: Any = module.get_ipython() if module is not None else None
    manager = getattr(shell, "history_manager", None)
    if manager is None:
        return None
    cells = []
    with suppress(Exception):  # somebody else's history
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
    metadata = {"kernelspec": kernel, "language_info": {"name": "python", "version": sys.version.split()[0]}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(notebook, indent=1).encode("utf-8", "replace")
