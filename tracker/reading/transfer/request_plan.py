"""What is asked of a server for an artifact's files: large contents in ranges, packed ones by the span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tracker.store.blobs.manifest import Entry

Wanted = tuple[Entry, str]

# Packed files come in spans of this size, which is held in memory once for each connection.
SPAN = 8 * 1024 * 1024
# Bytes between two wanted files that are fetched along: a request costs about as much.
GAP = 256 * 1024


@dataclass(frozen=True)
class Content:
    """A stretch of a blob that becomes one file, or several with the same content."""

    blob: str
    offset: int
    size: int
    files: list[Wanted]


@dataclass
class Span:
    """A stretch of a pack, and the small files in it."""

    blob: str
    start: int
    end: int
    files: list[Wanted] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """All that is to be fetched.

    Attributes:
        empty: Files without a byte, for which nothing is asked.
        contents: Those of a blob of their own, or too large for a span.
        spans: Where the others lie.
    """

    empty: list[Wanted]
    contents: list[Content]
    spans: list[Span]

    @property
    def size(self) -> int:
        """Bytes that will be asked for."""
        return sum(each.size for each in self.contents) + sum(each.end - each.start for each in self.spans)


def make_plan(wanted: Sequence[Wanted]) -> Plan:
    """Return how to get some files."""
    empty: list[Wanted] = []
    contents: dict[tuple[str, int, int, str], Content] = {}
    packed: list[Wanted] = []
    for each in wanted:
        entry = each[0]
        if entry.size == 0:
            empty.append(each)
        elif entry.pack is not None and entry.size <= SPAN:
            packed.append(each)
        else:
            blob = entry.blob or ""
            place = (blob, entry.offset, entry.size, entry.sha256)
            contents.setdefault(place, Content(blob, entry.offset, entry.size, [])).files.append(each)
    return Plan(empty, list(contents.values()), list(_spans(packed)))


def _spans(packed: list[Wanted]) -> Iterator[Span]:
    packed.sort(key=lambda each: (each[0].pack, each[0].offset))
    span: Span | None = None
    for each in packed:
        entry = each[0]
        end = entry.offset + entry.size
        if (
            span is None
            or span.blob != entry.pack
            or entry.offset > span.end + GAP
            or end - span.start > SPAN
        ):
            if span is not None:
                yield span
            span = Span(entry.pack or "", entry.offset, end)
        span.end = max(span.end, end)
        span.files.append(each)
    if span is not None:
        yield span
