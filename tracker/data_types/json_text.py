"""The JSON text of media files. It is the text that wandb writes, so that equal contents have equal digests.

The form depends on the place: a run (wandb: ``util.py``) or an artifact
(wandb: ``sdk/artifacts/artifact.py``). In runs, NaN and the infinities have another form than in wandb.
"""

from __future__ import annotations

import json
from typing import Any

from tracker.ground import values


def for_run(value: Any) -> bytes:
    """Return the JSON of a plain value for a file of a run, without spaces.

    NaN and the infinities are written as ``values.dumps`` writes them. wandb writes a bare ``NaN``, which
    browsers cannot parse.
    """
    return values.dumps(value).encode("utf-8", "replace")


def for_artifact(value: Any) -> bytes:
    """Return the JSON of a plain value for a file of an artifact: with spaces, sorted keys and ASCII only.

    NaN and the infinities are written as a bare ``NaN`` and ``Infinity``. wandb writes the infinities in the
    same way and reads both.
    """
    return json.dumps(value, sort_keys=True).encode()
