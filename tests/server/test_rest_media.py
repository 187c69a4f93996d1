"""Tests of media over the REST API: addresses, types that a browser may show, sandboxed pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import scripts
from serving import serving

import tracker

RUN = "/projects/local/media/runs/abc"
SCRIPT = "<script>document.title = 'ran'</script>"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("media")
    settings = {"store": folder / "tracker-store", "silent": True}
    run = tracker.init(project="media", id="abc", settings=settings, reinit="create_new")
    table = tracker.Table(columns=["n"], log_mode="INCREMENTAL")
    mask = {"mask_data": np.eye(4, dtype=np.uint8)}
    for step in range(3):
        table.add_data(step)
        run.log(
            {
                "sound": tracker.Audio([0.0] * 10, sample_rate=10, caption=f"at {step}"),
                "page": tracker.Html(SCRIPT, inject=False),
                "image": tracker.Image(np.zeros((4, 4)), masks={"m": mask}),
                "weights": tracker.Histogram([1, 2, 3], num_bins=2),
                "growing": table,
            }
        )
    cells = [[tracker.Audio([0.0], sample_rate=1), tracker.Html("x")]]
    run.log({"cells": tracker.Table(columns=["a", "h"], data=cells)})
    run.finish()
    with serving(folder / "tracker-store") as server, server.client() as opened:
        scripts.wait_for(lambda: opened.get(RUN).json().get("state") == "finished", "the run to be applied")
        yield opened


def get(client: httpx.Client, url: str, **query: str) -> httpx.Response:
    return client.get(httpx.URL(str(client.base_url)).join(url), params=query)


def steps(client: httpx.Client, key: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{RUN}/objects", params={"key": key, **query})
    assert answer.status_code == 200
    return list(answer.json()["steps"])


def test_logged_media_have_kinds_and_addresses(client: httpx.Client) -> None:
    kinds = {each["key"]: each["kind"] for each in client.get(RUN).json()["keys"]}
    assert [kinds[key] for key in ("sound", "page", "image", "weights", "growing")] == [
        "media",
        "media",
        "image",
        "histogram",
        "table",
    ]
    sounds = steps(client, "sound")
    assert [(each["step"], each["value"]["caption"]) for each in sounds] == [
        (0, "at 0"),
        (1, "at 1"),
        (2, "at 2"),
    ]
    assert [each["step"] for each in steps(client, "sound", limit=2)] == [0, 2]
    image = steps(client, "image")[0]["value"]
    mask = get(client, image["masks"]["m"]["url"])
    assert (mask.headers["content-type"], mask.content[:4]) == ("image/png", b"\x89PNG")
    assert steps(client, "weights")[0]["value"]["values"] == [1, 2]
    assert steps(client, "nothing") == []


def test_only_harmless_types_are_shown(client: httpx.Client) -> None:
    sound = get(client, steps(client, "sound")[0]["value"]["url"])
    assert sound.headers["content-type"].startswith("audio/")
    assert sound.headers["content-disposition"] == "inline"
    url = steps(client, "page")[0]["value"]["url"]
    saved = get(client, url)
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"].startswith("attachment")
    page = get(client, url, page="true")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none';")
    assert "allow-same-origin" not in policy
    assert page.text == SCRIPT
    image = steps(client, "image")[0]["value"]["url"]
    assert get(client, image, page="true").headers["content-security-policy"].startswith("sandbox;")


def test_incremental_tables_and_tables_with_media(client: httpx.Client) -> None:
    page = client.get(f"{RUN}/table", params={"key": "growing"}).json()
    assert (page["rows"], page["total"], page["steps"]) == ([[0], [1], [2]], 3, [0, 1, 2])
    first = client.get(f"{RUN}/table", params={"key": "growing", "step": 0}).json()
    assert first["rows"] == [[0]]
    ((sound, html),) = client.get(f"{RUN}/table", params={"key": "cells"}).json()["rows"]
    assert get(client, sound["url"]).headers["content-type"].startswith("audio/")
    assert get(client, html["url"], page="true").text.endswith("x")
    assert os.path.basename(sound["path"]).startswith("cells_3_")
