"""Damaged copies of journals: every intact record must be read, and the damage reported at its place."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from tracker.crashtest.check import numbers
from tracker.crashtest.writer import ENTITY, KEYS, PROJECT, Killed
from tracker.ground.records import Row, decode
from tracker.journal.format import FRAME
from tracker.journal.reader import Corrupt, Frame, NotYet, TornTail, read_frames
from tracker.reading.local import LocalReader
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import JOURNAL_NAME


class Damaged(NamedTuple):
    """A damaged copy of a journal.

    Attributes:
        run_id: Id of its run.
        name: File name of the journal.
        content: The damaged bytes.
        spot: First byte of the region that no reader can use.
        missing: First and last sequence number in that region; None for a torn tail.
        calls: Numbers of the calls whose records are intact.
    """

    run_id: str
    name: str
    content: bytes
    spot: int
    missing: tuple[int, int] | None
    calls: list[int]


def damage(killed: Killed, folder: Path, chance: random.Random) -> Damaged | None:
    """Return a damaged copy of a journal: with a torn tail, or with a damaged region in the middle.

    Args:
        killed: The writer whose journal is copied.
        folder: Folder for a temporary file.
        chance: Random generator for the kind and the place of the damage.

    Returns:
        The copy; None if the journal has too few records.
    """
    segment = segment_of(killed.name)
    intact = folder / f"intact-{killed.name}"
    intact.write_bytes(killed.journal)
    frames = [each for each in read_frames(intact, segment, final=True) if isinstance(each, Frame)]
    intact.unlink()
    if len(frames) < 12:
        return None
    content = bytearray(killed.journal[: frames[-1].end])
    how = chance.randrange(3)
    if how == 0:  # a torn tail: the last frame is cut off
        last = frames[-1]
        del content[chance.randrange(last.offset + 1, last.end) :]
        return Damaged(killed.run_id, killed.name, bytes(content), last.offset, None, _calls(frames[:-1]))
    first = chance.randrange(1, len(frames) - 1)  # keep the first frame: it names the journal's run
    end = first if how == 1 else min(len(frames) - 2, first + chance.randrange(8))
    start, stop = frames[first].offset, frames[end].end
    if how == 1:  # one bit
        content[chance.randrange(start, stop)] ^= 1 << chance.randrange(8)
    else:  # a region of zeros
        content[start + FRAME.size // 2 : stop - 1] = bytes(stop - 1 - start - FRAME.size // 2)
    whole = frames[:first] + frames[end + 1 :]
    missing = (frames[first].sequence, frames[end].sequence)
    return Damaged(killed.run_id, killed.name, bytes(content), start, missing, _calls(whole))


def check_reading(path: Path, damaged: Damaged) -> list[str]:
    """Read a damaged journal, as a follower and after its writer's end; return one line for each fault."""
    segment = segment_of(damaged.name)
    lines = []
    *_, waits = read_frames(path, segment, sequence=0, final=False)
    if not isinstance(waits, NotYet) or waits.offset != damaged.spot:
        lines.append(f"{path.name}: a follower should wait at byte {damaged.spot}, but got {waits}")
    *_, last = outcomes = list(read_frames(path, segment, sequence=0, final=True))
    bad = [each for each in outcomes if isinstance(each, Corrupt)]
    if damaged.missing is None:
        if not isinstance(last, TornTail) or last.offset != damaged.spot or bad:
            lines.append(f"{path.name}: a torn tail at byte {damaged.spot} was read as {last}")
    elif [(each.offset, each.missing) for each in bad] != [(damaged.spot, damaged.missing)]:
        lines.append(
            f"{path.name}: records {damaged.missing} at byte {damaged.spot} are damaged, but got {bad}"
        )
    return lines


def check_applied(root: Path, journals: list[Damaged]) -> list[str]:
    """Apply the damaged journals of a store; return one line for each fault."""
    store = open_store(root)
    follower = Follower(store)
    for _ in range(3):
        follower.poll()
    lines = [f"{name}: {fault}" for name, fault in sorted(follower.faults.items())]
    reader = LocalReader(store)
    for each in journals:
        seen = numbers(reader.history(ENTITY, PROJECT, each.run_id, None, False))
        if seen != each.calls:
            lines.append(f"{each.name}: {len(each.calls)} calls are intact, but the store has {len(seen)}")
        problems = "\n".join(reader.run(ENTITY, PROJECT, each.run_id).problems)
        where = f"at {each.spot} (" if each.missing is None else f"at bytes {each.spot} to "
        gone = "" if each.missing is None else f"records {each.missing[0]} to {each.missing[1]} are lost"
        if where not in problems or gone not in problems:
            lines.append(f"{each.name}: damage at byte {each.spot} is not reported: {problems!r}")
    store.close()
    return lines


def segment_of(name: str) -> str:
    """Return the segment in the file name of a journal."""
    found = JOURNAL_NAME.fullmatch(name)
    assert found is not None
    return found[1]


def _calls(frames: list[Frame]) -> list[int]:
    found = []
    for frame in frames:
        record = decode(frame.payload)
        if isinstance(record, Row):
            found += [record.data[key] for key in KEYS if key in record.data]
    return found
