"""One writer of the soak test: logs all kinds of values, and writes its own diary.

    python writer.py FOLDER RUN ATTEMPT CALLS DIARY

The diary is a plain file with one pickled entry on each line: ("called", ...) before each call of ``log`` and
("returned",) after it. It is written with os.write, and shows the expected content of the store.
"""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import random
import sys
import time
from typing import Any

import numpy as np

import tracker

FLOATS = [math.nan, math.inf, -math.inf, -0.0, 0.1, 5e-324, 1.7e308, 2.0**70]
INTS = [0, -1, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**70), 10**30]
TEXTS = ["", "word", "größe ✓", "\x00", "null", "NaN", "🙂" * 20]


def reference(kind: str, content: bytes) -> dict[str, Any]:
    """Return the diary's entry for a media file: the expected reference to it in the history."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"reference": True, "_type": kind, "sha256": sha256, "size": len(content)}


class Diary:
    """Records which calls were made, and which have returned."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, *entry: Any) -> None:
        os.write(self._file, pickle.dumps(entry).hex().encode() + b"\n")


def plain_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 2 else 6)
    if kind == 0:
        return chance.choice(FLOATS)
    if kind == 1:
        return chance.choice(INTS)
    if kind == 2:
        return chance.choice(TEXTS)
    if kind == 3:
        return chance.choice([True, False, None])
    if kind in (4, 5):
        return chance.gauss(0, 1)
    if kind == 6:
        return [plain_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {
        chance.choice(["a", "b", "c.d"]): plain_value(chance, depth + 1) for _ in range(chance.randrange(3))
    }


def row(chance: random.Random) -> dict[str, Any]:
    data = {f"metric/{chance.randrange(12)}": plain_value(chance) for _ in range(chance.randrange(1, 6))}
    return data | {"count": chance.randrange(2**60), "loss": chance.random()}


def media(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return media to log, and the diary's entry for them."""
    image = tracker.Image(np.full((4, 4, 3), chance.randrange(256), np.uint8))
    number = chance.randrange(2**70)
    table = tracker.Table(columns=["id", "value"], data=[[number, "text"], [1, None]])
    head, tail = '{"columns":["id","value"],"data":[[', ',"text"],[1,null]]}'
    text = f"{head}{number}{tail}".encode()
    mark = chance.random()
    logged = {"mark": mark, "image": image, "table": table}
    return logged, {
        "mark": mark,
        "image": reference("image-file", image.data),
        "table": reference("table-file", text),
    }


def main(folder: str, run_id: str, attempt: int, calls: int, path: str) -> None:
    chance = random.Random(f"{run_id} {attempt}")
    diary = Diary(path)
    run = tracker.init(
        entity="team",
        project="soak",
        id=run_id,
        resume="must" if attempt else None,
        config={"attempt": attempt},
        settings={"store": f"{folder}/tracker-store", "silent": True},
    )
    diary.note("started", attempt, run.starting_step)
    fast = calls > 5000  # plain rows, enough for several parts that are merged during the run
    for number in range(calls):
        data, step, commit = row(chance), None, None
        described = data
        luck = chance.random()
        if fast:
            data = described = {"loss": chance.random(), "at": number}
        elif luck < 0.01:
            data, described = media(chance)
        elif luck < 0.10:
            step = run.step + chance.randrange(5)
        elif luck < 0.18:
            step = run.step - chance.randrange(8)
        elif luck < 0.30:
            commit = False
        elif luck < 0.33:
            step, commit = run.step + chance.randrange(2), True
        diary.note("called", described, step, commit)
        run.log(data, step=step, commit=commit)
        diary.note("returned")
        if not fast or number % 200 == 0:
            time.sleep(chance.random() * 0.06)
    end = chance.randrange(3)
    if end == 0:
        run.finish()
    elif end == 1:
        run.fail("ValueError: as planned")
    else:
        os._exit(0)  # the end is not recorded


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
