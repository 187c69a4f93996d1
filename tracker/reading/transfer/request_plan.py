"""The plan of a download: large contents are fetched in ranges, and small packed files together in spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tracker.store.blobs.manifest import Entry

Wanted = tuple[Entry, str]

# The maximum size of a span. Each connection holds one span in memory.
SPAN = 8 * 1024 * 1024
# Two files with at most this distance in a pack share a span: a second request costs more than these bytes.
GAP = 256 * 1024


@dataclass(frozen=True)
class Content:
    """A part of a blob that is the content of one or more files."""

    blob: str
    offset: int
    size: int
    files: list[Wanted]


@dataclass
class Span:
    """A part of a pack with the small files in it."""

    blob: str
    start: int
    end: int
    files: list[Wanted] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The requests for a list of files.

    Attributes:
        empty: Empty files, which need no request.
        contents: The files that are whole blobs or larger than a span.
        spans: The spans of the other files.
    """

    empty: list[Wanted]
    contents: list[Content]
    spans: list[Span]

    @property
    def size(self) -> int:
        """The number of bytes to fetch."""
        return sum(each.size for each in self.contents) + sum(each.end - each.start for each in self.spans)


def make_plan(wanted: Sequence[Wanted]) -> Plan:
    """Return the plan for a list of files."""
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
            content_key = (blob, entry.offset, entry.size, entry.sha256)
            contents.setdefault(content_key, Content(blob, entry.offset, entry.size, [])).files.append(each)
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
