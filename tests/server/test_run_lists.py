"""Queries, cursors, selected fields and groups of runs: a server and a local store give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serving import Server

from tracker.errors import UsageError
from tracker.reading.local import LocalReader
from tracker.reading.reader import RunReader
from tracker.reading.remote import RemoteReader
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote
from tracker.store.objects.layout import Layout

MANY = ("team", "many")


@pytest.fixture(scope="module")
def readers(
    reading: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunReader, RunReader]]:
    store = open_store(reading.store, create=False)
    remote = RemoteReader(Remote(reading.url, None), Layout(tmp_path_factory.mktemp("outbox") / "outbox"))
    yield LocalReader(store), remote
    remote.close()
    store.close()


LISTS: list[dict[str, Any]] = [
    {},
    {"query": 'id~"^many-[0-4]" -config.lr.x:0', "order": "-config.lr.x,name"},
    {"query": "has:summary.acc", "search": "many", "filters": {"state": "finished"}},
    {"query": '"many|x" OR tag:none', "limit": 2, "order": "config.lr.x,-created_at"},
]


@pytest.mark.parametrize("options", LISTS, ids=lambda each: each.get("query", "all"))
def test_the_same_pages(readers: tuple[RunReader, RunReader], options: dict[str, Any]) -> None:
    local, remote = readers
    asked = {"limit": 3, "offset": 0, "order": "-created_at", **options}
    fields = ["id", "config.lr.x", "summary.acc/top 1", "tags"]
    seen = 0
    while True:
        page = local.runs(*MANY, **asked)
        assert repr(page) == repr(remote.runs(*MANY, **asked))
        chosen = local.run_values(*MANY, fields, **asked)
        assert chosen == remote.run_values(*MANY, fields, **asked)
        assert [row["id"] for row in chosen.runs] == [run.id for run in page.runs]
        seen += len(page.runs)
        if page.next is None:
            break
        asked["cursor"] = page.next
    assert seen == page.total


@pytest.mark.parametrize(
    "options",
    [
        {"by": ["config.lr.x"], "metrics": ["acc/top 1", "summary.none"], "order": "-acc/top 1:mean"},
        {"by": ["state", "tags"], "query": '"many"', "filters": {"state": "finished"}, "limit": 1},
        {"by": ["tag"], "metrics": ["acc/top 1"], "order": "-runs,tag"},
        {"all_but": ["lr.x"]},
        {"all_but": []},
    ],
    ids=str,
)
def test_the_same_groups(readers: tuple[RunReader, RunReader], options: dict[str, Any]) -> None:
    local, remote = readers
    found = local.run_groups(*MANY, **options)
    assert found.groups and found.runs == 7
    assert repr(found) == repr(remote.run_groups(*MANY, **options))


def test_refusals_are_one_line(api: httpx.Client, readers: tuple[RunReader, RunReader]) -> None:
    for path, message in (
        ("runs?query=state%3Afailed%20(", "query, character 15: a test is missing"),
        ("runs?cursor=x", "cursor: the text is not a cursor"),
        ("runs?fields=colour", "fields: unknown field 'colour'"),
        ("run-groups", "groups: name either the keys"),
        ("run-groups?by=state&order=none", "groups: cannot order by 'none'"),
    ):
        answer = api.get(f"/projects/team/many/{path}")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith(message)
    assert api.get("/projects/team/many/runs", params={"query": "a" * 10_001}).status_code == 422
    with pytest.raises(UsageError, match="query, character 2"):
        readers[1].runs(*MANY, limit=1, offset=0, order="name", query="(")
