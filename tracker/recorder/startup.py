"""The first module of a recorder's process. It records an error if the recorder cannot be imported."""

from __future__ import annotations

import json
import os
import time


def main(arguments: list[str]) -> None:
    """Run the recorder.

    Args:
        arguments: Path of the failure file (``tracker.recorder.failure_file``), then the arguments of
            ``recorder.main``.
    """
    try:
        from tracker.recorder.main import main as follow
    except BaseException as error:
        reasons = {"*": f"its modules cannot be imported: {error!r}"}
        noted = json.dumps({"reasons": reasons, "count": 5, "time": time.time()})
        temporary = f"{arguments[0]}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(noted)
        os.replace(temporary, arguments[0])
        raise
    follow(arguments[1:])
