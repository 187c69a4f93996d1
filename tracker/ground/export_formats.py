"""The formats of exports: names, media types and endings of files."""

from __future__ import annotations

from typing import Literal, NamedTuple

# "json" is one object with the list "rows"; the other formats have no part that grows with the rows.
Format = Literal["json", "jsonl", "csv", "arrow", "parquet"]


class FormatFacts(NamedTuple):
    """The media type of a format, and the ending of its files."""

    media_type: str
    ending: str


FORMATS: dict[Format, FormatFacts] = {
    "json": FormatFacts("application/json", "json"),
    "jsonl": FormatFacts("application/x-ndjson", "jsonl"),
    "csv": FormatFacts("text/csv; charset=utf-8; header=present", "csv"),
    "arrow": FormatFacts("application/vnd.apache.arrow.stream", "arrows"),
    "parquet": FormatFacts("application/vnd.apache.parquet", "parquet"),
}
