"""The journals of a store for a process that follows them: what is new, and what is worth a look now.

No file system that several hosts mount tells a host about changes by another one. So the folders and files
are polled. The cost is limited: a folder is listed when its modification time changes, and otherwise rarely,
because a network client may cache times. An idle journal is looked at ever less often, and all journals that
have been idle for some time together at most ``LOOKS_PER_SECOND`` times a second.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tracker.store.objects.layout import JOURNAL_NAME, JournalPath, Layout

# Looks at idle journals, and names in listed folders that seem unchanged.
LOOKS_PER_SECOND = 250
# Up to this number of journals, they are cheap enough to look at all of them in each round.
FEW = 100
# A journal is looked at after this share of the time that has passed since it changed.
IDLE_SHARE = 0.2
# Seconds after which a folder is listed again that seems unchanged.
LISTED_SECONDS = 5.0
# A file system may give the same time to changes that are near each other.
RECENT_SECONDS = 1.0


@dataclass(slots=True)
class Look:
    """A segment's journals as the last look found them.

    Attributes:
        stamp: Size and modification time of each journal, in one list.
        sizes: Number and size of each journal.
        changed_at: When a look first found this stamp (monotonic seconds).
        grown_at: When a look first found these sizes (monotonic seconds).
        missed_after: Seconds without a change after which the writer is silent.
        silence: 0 if the writer showed that it lives, 1 if it was silent, 2 if its segment can be sealed.
        rests: Whether nothing is to be done until a journal grows, or ``silence`` changes.
        revision: Revision of the store in which the segment has not ended.
    """

    stamp: list[int]
    sizes: list[tuple[int, int]]
    changed_at: float
    grown_at: float
    missed_after: float
    silence: int = 0
    rests: bool = False
    revision: int = -1


@dataclass(slots=True, eq=False)
class FollowedSegment:
    """A segment with journals. A look at thousands of them costs the memory that it touches: keep it small.

    Attributes:
        name: The segment.
        files: Its journals, ordered by number.
        paths: Their paths.
        look: The result of the last look; None if ``files`` has changed since.
        due: When the segment is due again (monotonic, in whole seconds); None if it is due in each round.
    """

    name: str
    files: list[JournalPath]
    paths: list[str]
    look: Look | None = None
    due: int | None = None


class JournalFolders:
    """Lists the journals of a store by segment.

    Attributes:
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
        self._segments: dict[str, FollowedSegment] = {}
        self.gone: set[str] = set()
        self._now: set[FollowedSegment] = set()
        # By the time when they are due. A segment counts only at the time that it has itself.
        self._later: dict[int, list[FollowedSegment]] = {}

    def list_due(self) -> list[FollowedSegment]:
        """Return the segments that are due for a look."""
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
        for due in [due for due in self._later if due <= now]:
            for each in self._later.pop(due):
                if each.due == due:
                    each.due = None
                    self._now.add(each)
        return list(self._now)

    def list_again(self) -> None:
        """List all folders again in the next call: a journal has disappeared."""
        self._listed.clear()

    def postpone(self, segment: FollowedSegment, now: float, changed_at: float) -> None:
        """Choose the time of the next look at an idle segment.

        Args:
            segment: The segment.
            now: The time of this look (monotonic).
            changed_at: When its journals have changed (monotonic).
        """
        count = len(self._segments)
        if count > FEW and segment.due is None:
            due = int(now + min(IDLE_SHARE * (now - changed_at), count / LOOKS_PER_SECOND))
            if due > now:
                segment.due = due
                self._now.discard(segment)
                self._later.setdefault(due, []).append(segment)

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
        for name in changed:
            known = self._segments.pop(name, None)
            before_files = known.files if known is not None else []
            files = [each for each in before_files if str(each.path) not in gone]
            files = sorted([*files, *added.get(name, ())], key=lambda journal: journal.number)
            if known is not None:
                known.due = -1
                self._now.discard(known)
            if files:
                paths = [str(each.path) for each in files]
                self._segments[name] = FollowedSegment(name, files, paths)
                self._now.add(self._segments[name])
                self.gone.discard(name)
            else:
                self.gone.add(name)


def _list_names(place: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
