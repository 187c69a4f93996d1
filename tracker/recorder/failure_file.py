"""What a recorder cannot apply or send, noted in a file for the processes that log: they have a terminal."""

from __future__ import annotations

import time

import msgspec

from tracker.ground.parsed_types import Count, Time
from tracker.ground.processes import host_name
from tracker.store.objects.atomic_files import open_regular, publish, write_new
from tracker.store.objects.layout import Layout

# Stands for all segments: the recorder itself ended with an error.
ALL = "*"
# A recorder that failed is started again after this long, and after twice as long with each further failure.
SHORTEST_PAUSE = 5.0
LONGEST_PAUSE = 300.0


class Failures(msgspec.Struct):
    """What the recorder of this host and user noted.

    Attributes:
        reasons: Why, by segment; see ``ALL``.
        count: How many recorders have failed one after the other.
        time: When this was noted (unix seconds).
    """

    reasons: dict[str, str] = {}
    count: Count = 0
    time: Time = 0.0

    @property
    def pauses(self) -> bool:
        """Whether it is too early to start another recorder."""
        pause = min(SHORTEST_PAUSE * 2.0 ** min(self.count, 10), LONGEST_PAUSE)
        return ALL in self.reasons and 0 <= time.time() - self.time < pause


_decode = msgspec.json.Decoder(Failures).decode


def note_failures(layout: Layout, reasons: dict[str, str]) -> None:
    """Note why segments are not applied or sent; without reasons, the file goes.

    Raises:
        OSError: It cannot be written.
    """
    path = layout.recorder_failures(host_name())
    if not reasons:
        path.unlink(missing_ok=True)
        return
    count = read_failures(layout).count + 1 if ALL in reasons else 0
    temporary = layout.new_temporary()
    said = {name: why.encode("utf-8", "replace").decode() for name, why in reasons.items()}
    write_new(temporary, msgspec.json.encode(Failures(said, count, time.time())))
    publish(temporary, path)


def read_failures(layout: Layout) -> Failures:
    """Return what was noted last; nothing when all is well, or when the note cannot be read."""
    try:
        with open(open_regular(layout.recorder_failures(host_name())), "rb") as file:
            return _decode(file.read())
    except (OSError, msgspec.MsgspecError):
        return Failures()
