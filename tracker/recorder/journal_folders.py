"""The journals of a store for a process that follows them: what is new, and what is worth a look now.

No file system that several hosts mount tells a host about changes by another one. So the folders and files
are polled. The cost is limited: a folder is listed when its modification time changes, and otherwise rarely,
because a network client may cache times. An idle journal is looked at ever less often, and all journals that
have been idle for some time together at most ``LOOKS_PER_SECOND`` times a second.
"""

from __future__ import annotations

import os
import time
from heapq import heappop, heappush
from pathlib import Path

from tracker.store.objects.layout import JOURNAL_NAME, JournalPath, Layout

# Looks at idle journals, and names in listed folders that seem unchanged.
LOOKS_PER_SECOND = 500
# Up to this number of journals, they are cheap enough to look at all of them in each round.
FEW = 100
# A journal is looked at after this share of the time that has passed since it changed.
IDLE_SHARE = 0.2
# Seconds after which a folder is listed again that seems unchanged.
LISTED_SECONDS = 5.0
# A file system may give the same time to changes that are near each other.
RECENT_SECONDS = 1.0


class JournalFolders:
    """Lists the journals of a store by segment.

    Attributes:
        segments: The journals of each segment, as the last call of ``list_due`` found them.
        gone: The segments without journals that the last call of ``list_due`` found.

    Args:
        layout: The store.
        host: List only the journals of this host; None for all.
    """

    def __init__(self, layout: Layout, host: str | None = None) -> None:
        self._layout = layout
        self._host = host
        self._places: list[Path] = []
        self._names: dict[Path, frozenset[str]] = {}
        # Modification time of each folder, and when it was listed.
        self._listed: dict[Path, tuple[int, float]] = {}
        self._trusted_from = 0.0  # folders that were listed before, and seem unchanged, are listed again
        self.segments: dict[str, list[JournalPath]] = {}
        self.gone: set[str] = set()
        # Each segment is in one of these two. The queue may contain more times; those in `_due` count.
        self._now: set[str] = set()
        self._due: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []

    def list_due(self) -> list[tuple[str, list[JournalPath]]]:
        """Return the segments that are due for a look, with their journals ordered by number."""
        now = time.monotonic()
        self.gone = set()
        self._trusted_from = now - max(LISTED_SECONDS, sum(map(len, self._names.values())) / LOOKS_PER_SECOND)
        if self._is_due(self._layout.journals, now):
            self._places = self._layout.journal_folders(self._host)
        for gone in self._names.keys() - set(self._places):
            self._update(gone, frozenset())
            del self._names[gone]
        for place in self._places:
            if self._is_due(place, now):
                self._update(place, _list_names(place))
        while self._queue and self._queue[0][0] <= now:
            at, segment = heappop(self._queue)
            if self._due.get(segment) == at:
                del self._due[segment]
                self._now.add(segment)
        return [(segment, self.segments[segment]) for segment in self._now]

    def list_again(self) -> None:
        """List all folders again in the next call: a journal has disappeared."""
        self._listed.clear()

    def postpone(self, segment: str, idle_seconds: float) -> None:
        """Choose the time of the next look at an idle segment.

        Args:
            segment: The segment.
            idle_seconds: Time since its journals have changed.
        """
        count = len(self.segments)
        if count > FEW and segment in self._now:
            due = time.monotonic() + min(IDLE_SHARE * idle_seconds, count / LOOKS_PER_SECOND)
            self._now.remove(segment)
            self._due[segment] = due
            heappush(self._queue, (due, segment))

    def _is_due(self, folder: Path, now: float) -> bool:
        """Return whether a folder must be listed now. The caller lists it."""
        try:
            changed_at = os.stat(folder).st_mtime_ns
        except FileNotFoundError:
            changed_at = 0
        known_at, listed_at = self._listed.get(folder, (-1, 0.0))
        if changed_at == known_at and listed_at > self._trusted_from:
            return False
        is_recent = abs(time.time() - changed_at / 1e9) < RECENT_SECONDS
        self._listed[folder] = (-1 if is_recent else changed_at, now)
        return True

    def _update(self, place: Path, names: frozenset[str]) -> None:
        before = self._names.get(place, frozenset())
        self._names[place] = names
        changed: set[str] = set()
        for name in before ^ names:
            if match := JOURNAL_NAME.fullmatch(name):
                changed.add(match[1])
        gone = {str(place / name) for name in before - names}
        added: dict[str, list[JournalPath]] = {}
        for name in names - before:
            if match := JOURNAL_NAME.fullmatch(name):
                added.setdefault(match[1], []).append(JournalPath(place / name, match[1], int(match[2])))
        for segment in changed:
            files = [each for each in self.segments.get(segment, ()) if str(each.path) not in gone]
            files = sorted([*files, *added.get(segment, ())], key=lambda journal: journal.number)
            self._due.pop(segment, None)
            if files:
                self.segments[segment] = files
                self._now.add(segment)
                self.gone.discard(segment)
            else:
                self.segments.pop(segment, None)
                self._now.discard(segment)
                self.gone.add(segment)


def _list_names(place: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
