"""Exports of a run's history through a server: the same rows in every format, and clients that do not read
on."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import scripts
from exact import exact
from exported import FORMATS, as_csv, read_export
from serving import Server, serving

import tracker
from tracker.ground import values
from tracker.reading.remote import RemoteReader
from tracker.recorder.outbox import Remote
from tracker.store.objects.layout import Layout

RUN = "/projects/team/demo/runs/everything"
LONG = "/projects/local/p/runs/long"
ROWS = 30_000
TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_has_the_rows_of_history(api: httpx.Client, format: str) -> None:
    rows = values.loads(api.get(f"{RUN}/history").content)["rows"]
    assert len(rows) > 10
    answer = api.get(f"{RUN}/history/export", params={"format": format})
    assert answer.headers["content-type"] == TYPES[format]
    ending = {"arrow": "arrows"}.get(format, format)
    expected = f"attachment; filename*=UTF-8''everything.history.{ending}"
    assert answer.headers["content-disposition"] == expected
    meant = list(map(as_csv, rows)) if format == "csv" else rows
    assert list(map(exact, read_export(format, answer.content))) == list(map(exact, meant))


def test_rows_are_selected_as_in_history(api: httpx.Client) -> None:
    some: dict[str, Any] = {"key": ["train/loss", "count"], "min_step": 2, "max_step": 7}
    answer = api.get(f"{RUN}/history/export", params={"format": "jsonl", **some})
    found = read_export("jsonl", answer.content)
    assert [row["_step"] for row in found] == [2, 3, 4, 5, 6, 7]
    assert found[-1]["count"] == 2**70
    nothing = api.get(f"{RUN}/history/export", params={"format": "csv", "key": "never logged"})
    assert nothing.content == b'"_step","_runtime","_timestamp"\r\n'


def test_what_does_not_exist_is_refused_before_the_file_begins(api: httpx.Client) -> None:
    for query, status in (
        ({"format": "xlsx"}, 422),
        ({}, 422),
        ({"format": "csv", "segment": "0" * 32}, 404),
        ({"format": "csv", "min_step": 2**63}, 422),
    ):
        answer = api.get(f"{RUN}/history/export", params=query)
        assert (answer.status_code, "message" in answer.json()["error"]) == (status, True)
        assert "content-disposition" not in answer.headers
    assert (
        api.get("/projects/team/demo/runs/none/history/export", params={"format": "csv"}).status_code == 404
    )


def test_a_reader_of_a_server_exports_the_same(reading: Server, tmp_path: Path) -> None:
    local = tracker.Api({"store": reading.store}).run("team/demo/everything")._reader
    remote = RemoteReader(Remote(reading.url, None), Layout(tmp_path / "outbox"))
    for format in FORMATS:
        options: dict[str, Any] = {"keys": ["train/loss"], "complete": True, "max_step": 5}
        content = [
            b"".join(reader.export_history("team", "demo", "everything", format, **options))
            for reader in (local, remote)
        ]
        assert content[0] == content[1]
        assert len(read_export(format, content[0])) == 6
    assert list(remote.export_history("team", "demo", "everything", "jsonl", keys=[])) != []
    remote.close()


def test_a_run_of_the_api_is_exported_to_a_file(reading: Server, tmp_path: Path) -> None:
    run = tracker.Api({"store": reading.store}).run("team/demo/everything")
    for format, ending in {**{each: each for each in FORMATS}, "arrow": "arrows"}.items():
        path = run.export_history(tmp_path / "new" / f"rows.{ending}", ["train/loss"], min_step=1, max_step=3)
        found = read_export(format, path.read_bytes())
        assert [row["_step"] for row in found] == [1, 2, 3]
        assert [row["train/loss"] for row in found][0::2] == [0.5, math.inf]
    assert len(list((tmp_path / "new").iterdir())) == len(FORMATS)
    with pytest.raises(
        tracker.errors.UsageError, match=r"unknown ending of 'rows.xlsx': use one of .json, .jsonl"
    ):
        run.export_history(tmp_path / "rows.xlsx")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("long")
    settings = {"store": folder / "tracker-store", "silent": True}
    run = tracker.init(project="p", id="long", settings=settings, reinit="create_new")
    for at in range(ROWS):
        run.log({"loss": at / 3, "text": f"a line of text that makes the row longer {at}"})
    run.finish()
    with serving(folder / "tracker-store") as server, server.client() as client:
        scripts.wait_for(lambda: client.get(LONG).json().get("state") == "finished", "the run to be applied")
        scripts.wait_for(lambda: not Layout(folder / "tracker-store").list_journals(), "the run to be sealed")
        yield server


def open_parts(server: Server) -> int:
    folder = Path(f"/proc/{server.process.pid}/fd")
    found = 0
    for each in folder.iterdir():
        try:
            found += os.readlink(each).endswith(".parquet")
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("path", ["history", "history/export?format=csv"])
def test_a_client_that_leaves_ends_the_work(long: Server, path: str) -> None:
    """The server closes the parts of the run, although most of the rows were not sent."""
    scripts.wait_for(lambda: open_parts(long) == 0, "no open part")
    with socket.create_connection(("127.0.0.1", long.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(f"GET /api/v1{LONG}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        scripts.wait_for(lambda: open_parts(long) > 0, "an open part")
    scripts.wait_for(lambda: open_parts(long) == 0, "no open part")


@pytest.mark.slow
def test_exports_have_a_limit_and_other_answers_continue(long: Server) -> None:
    """A client that opens many exports without reading them does not use up the server."""
    request = f"GET /api/v1{LONG}/history/export?format=jsonl HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    clients = []
    answers = []
    for _ in range(18):
        client = socket.create_connection(("127.0.0.1", long.port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request.encode())
        answers.append(client.recv(12))
        clients.append(client)
    assert answers.count(b"HTTP/1.1 200") == 16
    assert answers.count(b"HTTP/1.1 503") == 2
    with long.client() as client:
        assert client.get(LONG).status_code == 200
        busy = client.get(f"{LONG}/history")
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "busy")
        assert busy.headers["retry-after"] == "5"
        assert client.get(f"{LONG}/history", params={"key": "absent"}).json() == {"rows": []}
        for each in clients:
            each.close()
        scripts.wait_for(lambda: open_parts(long) == 0, "no open part")
        assert len(client.get(f"{LONG}/history").json()["rows"]) == ROWS
