"""The fields that the runs of a project have: keys of config and summary, tags, and some columns.

Nothing is counted. The next name, the next string, the smallest and the largest number are each one seek in
an index of ``run_fields``, so the time does not depend on the number of runs. Only the columns are read from
all runs, and kept until the next change.
"""

from __future__ import annotations

from itertools import chain

from sqlalchemy.orm import Session

from tracker.ground.field_infos import FieldInfo, FieldList
from tracker.store.catalog.revision_cache import cached
from tracker.store.catalog.run_index import LONGEST_TEXT, NONFINITE_TEXT
from tracker.store.catalog.sqlite import read_rows
from tracker.store.queries.run_pages import find_project

LARGEST_LIST = 5000
LARGEST_VALUES = 100
# The largest number of names of config, of summary and of tags that are read. Each needs about 1 µs.
MOST_NAMES = 100_000
COLUMNS = {"group": "run_group", "host": "host", "job_type": "job_type", "state": "state"}
# wandb's own keys: definitions of charts, versions of libraries.
INTERNAL = ("config._wandb", "summary._wandb")
# The key of a media object of the summary that has its kind.
MEDIA = "._type"
_NONFINITE = ("NaN", *NONFINITE_TEXT.values())

_NAMES = """
WITH RECURSIVE names(field) AS (
    SELECT (SELECT min(field) FROM run_fields WHERE project_id = ? AND field >= ? AND field < ?)
    UNION ALL SELECT (
        SELECT min(field) FROM run_fields WHERE project_id = ? AND field > names.field AND field < ?
    ) FROM names WHERE names.field IS NOT NULL)
SELECT field FROM names WHERE field IS NOT NULL LIMIT ?"""
_OF_FIELD = "FROM run_fields WHERE project_id = ? AND field = ?"
_NUMBERS = f"""
SELECT (SELECT min(number) {_OF_FIELD}), (SELECT max(number) {_OF_FIELD}),
    EXISTS (SELECT 1 {_OF_FIELD} AND text IN (?, ?, ?))"""
_TEXTS = f"""
WITH RECURSIVE texts(text) AS (
    SELECT (SELECT min(text) {_OF_FIELD} AND text IS NOT NULL)
    UNION ALL SELECT (SELECT min(text) {_OF_FIELD} AND text > texts.text)
    FROM texts WHERE texts.text IS NOT NULL)
SELECT text FROM texts WHERE text IS NOT NULL LIMIT ?"""
_COLUMNS = f"SELECT DISTINCT {', '.join(COLUMNS.values())} FROM runs WHERE project_id = ?"


def list_fields(
    session: Session, entity: str, project: str, *, search: str = "", values: int = 12, limit: int = 1000
) -> FieldList:
    """Return the fields that at least one run of a project has. Archived runs count, deleted runs do not.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project. An unknown project has no fields.
        search: Only fields whose name contains this text, without regard to case.
        values: The largest number of strings of a field.
        limit: The largest number of fields.
    """
    project_id = find_project(session, entity, project)
    listed = dict(_read_columns(session, project_id))
    if tags := _names(session, project_id, "tags."):
        listed["tag"] = [name.removeprefix("tags.") for name in tags]
    keys = [_names(session, project_id, prefix) for prefix in ("config.", "summary.")]
    media = {name.removesuffix(MEDIA) for name in keys[1] if name.endswith(MEDIA)}
    wanted = search.casefold()
    names = sorted(
        name
        for name in (*chain(*keys), *listed)
        if wanted in name.casefold() and not _is_internal(name) and not _is_within(name, media)
    )
    found = []
    for name in names[:limit]:
        if name in listed:
            found.append(FieldInfo(name, False, True, None, None, *_shorten(listed[name], values)))
        else:
            found.append(_describe_key(session, project_id, name, values, name in media))
    return FieldList(found, len(names) > limit or any(len(each) == MOST_NAMES for each in keys))


def _is_internal(name: str) -> bool:
    return name in INTERNAL or name.startswith(tuple(f"{each}." for each in INTERNAL))


def _is_within(name: str, objects: set[str]) -> bool:
    """Return whether a field is a value within one of some objects."""
    parts = name.split(".") if objects else []
    return any(".".join(parts[:end]) in objects for end in range(2, len(parts)))


def _names(session: Session, project_id: int, prefix: str) -> list[str]:
    """Return the names of fields that begin with a prefix, which ends with a dot."""
    end = f"{prefix[:-1]}/"  # the next character after the dot
    asked = (project_id, prefix, end, project_id, end, MOST_NAMES)

    def read() -> list[str]:
        return [name for (name,) in read_rows(session, _NAMES, asked)]

    return cached(session, ("names", project_id, prefix), read, _size)


def _read_columns(session: Session, project_id: int) -> dict[str, list[str]]:
    """Return the distinct values of the columns that at least one run has."""

    def read() -> dict[str, list[str]]:
        rows = read_rows(session, _COLUMNS, (project_id,))
        distinct = zip(COLUMNS, map(set, zip(*rows, strict=True)), strict=True) if rows else ()
        return {name: sorted(given) for name, found in distinct if (given := found - {None, ""})}

    def size(found: dict[str, list[str]]) -> int:
        return sum(map(_size, found.values()))

    return cached(session, ("columns", project_id), read, size)


def _size(texts: list[str]) -> int:
    return 200 + sum(60 + len(text) for text in texts)


def _describe_key(session: Session, project_id: int, name: str, most: int, is_media: bool) -> FieldInfo:
    """Return a key of config or summary."""
    of_field = (project_id, name)
    low, high, nonfinite = read_rows(session, _NUMBERS, (*of_field * 3, *_NONFINITE))[0]
    asked = (*of_field * 2, most + len(_NONFINITE) + 1)  # one more, to know whether there are more
    texts = [text for (text,) in read_rows(session, _TEXTS, asked) if text not in _NONFINITE]
    numbers = low is not None or bool(nonfinite)
    of_kind = (*(project_id, f"{name}{MEDIA}") * 2, 1)
    media = read_rows(session, _TEXTS, of_kind)[0][0] if is_media else None
    return FieldInfo(name, numbers, bool(texts), low, high, *_shorten(texts, most), media)


def _shorten(texts: list[str], most: int) -> tuple[list[str], bool]:
    """Return at most ``most`` texts, and whether some were left out. A longer text is stored with a hash."""
    shown = [text for text in texts if len(text) <= LONGEST_TEXT][:most]
    return shown, len(texts) > len(shown)
