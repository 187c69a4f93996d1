"""The file in which a recorder records segments that it cannot apply or send.

The processes that log read this file and print its content, because the recorder has no terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from tracker.ground.parsed_types import Count, Time
from tracker.ground.processes import host_name
from tracker.store.objects.atomic_files import open_regular, publish, write_new
from tracker.store.objects.layout import Layout

# Key for all segments: the recorder itself ended with an error.
ALL = "*"
# Seconds until a failed recorder is started again. The pause doubles with each further failure.
SHORTEST_PAUSE = 5.0
LONGEST_PAUSE = 300.0


class Failures(msgspec.Struct):
    """Content of the file of this host and user.

    Attributes:
        reasons: Error by segment; see ``ALL``.
        count: Number of recorders that have failed in a row.
        time: When the file was written (unix seconds).
        refused: The segments that a server refuses until a person changes something, such as a role.
    """

    reasons: dict[str, str] = {}
    count: Count = 0
    time: Time = 0.0
    refused: list[str] = []

    @property
    def pauses(self) -> bool:
        """Whether it is too early to start another recorder."""
        pause = min(SHORTEST_PAUSE * 2.0 ** min(self.count, 10), LONGEST_PAUSE)
        return ALL in self.reasons and 0 <= time.time() - self.time < pause


_decode = msgspec.json.Decoder(Failures).decode


def note_failures(layout: Layout, reasons: dict[str, str], refused: Iterable[str] = ()) -> None:
    """Write why segments are not applied or sent. Without reasons, delete the file.

    Args:
        layout: The store or outbox.
        reasons: See ``Failures``.
        refused: See ``Failures``.

    Raises:
        OSError: The file cannot be written.
    """
    path = layout.recorder_failures(host_name())
    if not reasons:
        path.unlink(missing_ok=True)
        return
    count = read_failures(layout).count + 1 if ALL in reasons else 0
    temporary = layout.new_temporary()
    valid = {name: why.encode("utf-8", "replace").decode() for name, why in reasons.items()}
    write_new(temporary, msgspec.json.encode(Failures(valid, count, time.time(), sorted(refused))))
    publish(temporary, path)


def read_failures(layout: Layout) -> Failures:
    """Return the content of the file; empty when there is no failure or the file cannot be read."""
    try:
        with open(open_regular(layout.recorder_failures(host_name())), "rb") as file:
            return _decode(file.read())
    except (OSError, msgspec.MsgspecError):
        return Failures()
