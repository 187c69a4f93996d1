"""The first module of a recorder's process: it notes when the recorder itself cannot be imported."""

from __future__ import annotations

import json
import time


def main(arguments: list[str]) -> None:
    """Run the recorder.

    Args:
        arguments: The file for failures (``tracker.recorder.failures``), then those of ``recorder.main``.
    """
    try:
        from tracker.recorder.main import main as follow
    except BaseException as error:
        reasons = {"*": f"its modules cannot be imported: {error!r}"}
        with open(arguments[0], "w", encoding="utf-8") as file:
            json.dump({"reasons": reasons, "count": 5, "time": time.time()}, file)
        raise
    follow(arguments[1:])
