"""Bytes that are sent for each byte logged: figure ``send``.

A script logs to a server through a relay that counts its bytes, headers included. It is compared with the
bytes of the same rows in a journal. One script logs as fast as it can, another one logs 20 rows a second.

As a script this module is such a script.
"""

from __future__ import annotations

import sys
import time

from benchmarks.data import make_rows
from benchmarks.measuring import Options, metered, ours, print_answer, workplace
from benchmarks.product import PROJECT
from benchmarks.relay import relaying
from benchmarks.report import Result, row
from benchmarks.serving import serving

KEYS = 10
RATE = 20
MOST = 0.5


def measure(options: Options) -> Result:
    """Measure rows of 10 values, logged fast and slowly."""
    rows, details = [], {}
    for name, count, rate in (
        ("at once", options.rows, 0),
        (f"at {RATE} rows a second", RATE * options.load_seconds, RATE),
    ):
        with (
            workplace(options) as folder,
            serving(folder / "store") as server,
            relaying(server.port) as relay,
        ):
            used = metered(ours("sending", count, rate), folder, TRACKER_BASE_URL=relay.address)
        logged = used.answer["bytes"]
        figure = f"bytes sent for {count:,} rows of {KEYS} {name}"
        target = f"<= {MOST:g}x"
        rows.append(row(figure, "bytes", relay.sent, "journal", logged, most=MOST, target=target))
        details[name] = {"rows": count, "sent": relay.sent, "logged": logged}
    return Result(rows, details)


def _log(count: int, rate: int) -> None:
    import tracker
    from tracker.ground.records import COMMIT, Row, pack
    from tracker.journal.format import FRAME

    rows = make_rows(count, KEYS)
    run = tracker.init(project=PROJECT)
    for values in rows:
        run.log(values)
        if rate:
            time.sleep(1 / rate)
    run.finish()
    now = time.time()
    packed = sum(len(pack(Row(at, at, COMMIT, now, each))) + FRAME.size for at, each in enumerate(rows))
    print_answer({"bytes": packed})


if __name__ == "__main__":
    _log(*map(int, sys.argv[1:]))
