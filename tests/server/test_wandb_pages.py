"""The addresses that the wandb client prints lead to pages of the dashboard."""

from __future__ import annotations

import httpx
import pytest
from serving import Server

from server.dashboard import page_of_wandb


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("team/demo/runs/abc", "/team/demo?run=abc"),
        ("team/demo/runs/a b/logs", "/team/demo?run=a+b"),
        ("team/demo/runs", "/team/demo"),
        ("team/demo/sweeps/s1", "/team/demo?tab=runs"),
        ("team/demo/table", "/team/demo?tab=runs"),
        ("te&m/de mo/workspace", "/te%26m/de%20mo"),
        ("team/demo/artifacts", "/team/demo?tab=artifacts"),
        ("team/demo/artifacts/model", "/team/demo?tab=artifacts"),
        ("team/demo/artifacts/model/net", "/team/demo?tab=artifacts&artifact=net%3Alatest"),
        ("team/demo/artifacts/model/net/v3/files", "/team/demo?tab=artifacts&artifact=net%3Av3"),
        ("team/demo", None),
        ("team/demo/:members", None),
        ("team/demo/other/page", None),
        ("", None),
    ],
)
def test_page_of_an_address(path: str, page: str | None) -> None:
    assert page_of_wandb(path) == page


def test_the_server_redirects(reading: Server) -> None:
    answer = httpx.get(f"{reading.url}/team/demo/runs/abc", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/team/demo?run=abc")
