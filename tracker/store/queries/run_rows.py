"""The content of a page of runs: whole runs, the same as JSON text, or only some of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import msgspec

from tracker.errors import UsageError
from tracker.ground import values
from tracker.ground.read_models import RunInfo, RunPage
from tracker.ground.run_selections import RunValues
from tracker.store.catalog.models import Run
from tracker.store.catalog.revision_cache import cached, revision
from tracker.store.catalog.sqlite import Reading, encode_ids, read_rows
from tracker.store.queries.filter_fields import check_text
from tracker.store.queries.filters import canonical, resolve
from tracker.store.queries.run_order import ORDER_NAMES, split_names
from tracker.store.queries.run_pages import PageAsked, find_page, find_project

LARGEST_FIELDS = 200
# The fields of ``RunInfo`` that are stored as JSON text.
JSON_FIELDS = ("tags", "config", "summary")
# A run's columns in the order of ``RunInfo``, without entity and project, which come first.
NAMES = tuple(each.name for each in fields(RunInfo))[2:]
_Row = tuple[Any, ...]
_COUNTS = (
    "SELECT run_id, "
    "(SELECT coalesce(sum(hot_count), 0) FROM segments WHERE segments.run_id = runs.id) + "
    "(SELECT coalesce(sum(parts.rows), 0) FROM segments JOIN parts ON parts.segment_id = segments.id "
    "WHERE segments.run_id = runs.id) "
    "FROM runs WHERE project_id = ? AND run_id IN (SELECT value FROM json_each(?))"
)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# ``RunInfo`` with config, summary and tags as they are stored.
_RunJSON: Any = msgspec.defstruct("_RunJSON", ["entity", "project", *NAMES])
_JSON_PLACES = tuple(NAMES.index(name) for name in JSON_FIELDS)


def list_runs(session: Reading, entity: str, project: str, **options: Any) -> RunPage:
    """Return a page of a project's runs. See ``PageAsked`` for the options and ``find_page`` for errors."""
    asked = PageAsked(entity, project, **options)
    _, page = find_page(session, asked)
    runs = []
    for row in _rows(session, page.ids, NAMES):
        stored = (
            values.loads(value) if name in JSON_FIELDS else value
            for name, value in zip(NAMES, row, strict=True)
        )
        runs.append(RunInfo(entity, project, *stored))
    return RunPage(page.total, revision(session), runs, page.next)


def page_json(session: Reading, asked: PageAsked) -> bytes:
    """Return ``list_runs`` as JSON. The answer is kept until the next change."""
    return cached(session, ("page", repr(asked)), lambda: _page_json(session, asked), len)


def _page_json(session: Reading, asked: PageAsked) -> bytes:
    _, page = find_page(session, asked)
    runs = []
    for row in _rows(session, page.ids, NAMES):
        stored = list(row)
        for at in _JSON_PLACES:
            stored[at] = msgspec.Raw(row[at])
        runs.append(_RunJSON(asked.entity, asked.project, *stored))
    return msgspec.json.encode(
        {"total": page.total, "revision": revision(session), "runs": runs, "next": page.next}
    )


def select_values(
    session: Reading, entity: str, project: str, names: Sequence[str], **options: Any
) -> RunValues:
    """Return only some fields of a page of runs.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        names: Fields of ``RunInfo`` and keys such as ``config.lr`` and ``summary.loss``. A run without a key
            has no value for it.
        options: See ``PageAsked``.

    Raises:
        UsageError: A field does not exist, there are too many, or the page is invalid: see ``find_page``.
    """
    if len(names) > LARGEST_FIELDS:
        raise UsageError(f"fields: there are more than {LARGEST_FIELDS}")
    asked = PageAsked(entity, project, **options)
    matching, page = find_page(session, asked)
    columns: dict[str, str] = {}
    keys: dict[str, tuple[str, str]] = {}
    for name in names:
        check_text(name)
        known = ORDER_NAMES.get(name, name)
        if known in NAMES or known in ("entity", "project"):
            columns[name] = known
        elif canonical(name).startswith(("config.", "summary.")):
            source, _, key = resolve(session, matching.project_id, name).partition(".")
            keys[name] = (source, key)
        else:
            raise UsageError(
                f"fields: unknown field {name!r}: use entity, project, {', '.join(NAMES)}, "
                "config.KEY or summary.KEY"
            )
    read = tuple(dict.fromkeys([*columns.values(), *(source for source, _ in keys.values())]))
    read = tuple(name for name in read if name in NAMES)
    rows = []
    for row in _rows(session, page.ids, read):
        stored: dict[str, Any] = {"entity": entity, "project": project, **dict(zip(read, row, strict=True))}
        found = {
            name: values.loads(stored[column]) if column in JSON_FIELDS else stored[column]
            for name, column in columns.items()
        }
        for name, (source, key) in keys.items():
            value = find_key(stored[source], key)
            if value is not None:
                found[name] = values.loads(value)
        rows.append({name: found[name] for name in names if name in found})
    return RunValues(page.total, revision(session), rows, page.next)


def count_rows(session: Reading, entity: str, project: str, run_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of history rows of all attempts of some runs.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        run_ids: The runs. Unknown runs are left out.
    """
    names = msgspec.json.encode(list(run_ids)).decode()
    return dict(read_rows(session, _COUNTS, (find_project(session, entity, project), names)))


def parse_fields(text: str) -> list[str]:
    """Return the names of a list such as ``name,config.lr``."""
    return split_names(text, (*NAMES, *ORDER_NAMES, "entity", "project")) if text else []


def find_key(text: str | bytes, key: str) -> bytes | None:
    """Return the JSON of one value of a config or summary without parsing the others; None if it is missing.

    Args:
        text: The JSON of the config or summary.
        key: The key. The keys of nested dicts are joined by dots; a key that itself has dots is preferred.
    """
    try:
        found = _KEYS.decode(text)
    except msgspec.ValidationError:
        return None  # not a dict
    if key in found:
        return bytes(found[key])
    at = key.find(".")
    while at >= 0:
        if key[:at] in found and (value := find_key(bytes(found[key[:at]]), key[at + 1 :])) is not None:
            return value
        at = key.find(".", at + 1)
    return None


def _rows(session: Reading, ids: Sequence[int], names: Sequence[str]) -> list[_Row]:
    """Return columns of the runs with the given ids, in the order of the ids; JSON as UTF-8."""
    sql, archived = _rows_query(tuple(names))
    found = {row[0]: row[1:] for row in read_rows(session, sql, (encode_ids(ids),))}
    if archived < 0:
        return [found[each] for each in ids]
    rows = ((found[each], bool(found[each][archived])) for each in ids)
    return [(*row[:archived], is_archived, *row[archived + 1 :]) for row, is_archived in rows]


@lru_cache
def _rows_query(names: tuple[str, ...]) -> tuple[str, int]:
    """Return the query for columns of some runs, and the place of the bool among the columns, or -1."""
    columns = [Run.run_id if name == "id" else getattr(Run, name) for name in names]
    stored = [column.property.columns[0].name for column in columns]
    read = (f"CAST({name} AS BLOB)" if name in JSON_FIELDS else name for name in stored)
    at = names.index("archived") if "archived" in names else -1
    return f"SELECT {', '.join(['id', *read])} FROM runs WHERE id IN (SELECT value FROM json_each(?))", at
