"""A running `tracker open`, which tests ask over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import scripts
from forking import Forked, fork_command


class Opened:
    """A running `tracker open`, and a client with its one-time link."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        given = ["open", "--no-browser", *arguments]
        self.process: Forked = fork_command(given, folder, environment(folder))
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        found = re.match(r"tracker open: (http://127\.0\.0\.1:\d+) \((.*)\)\n", self.first)
        assert found, self.first + self.process.stdout.read() + self.process.stderr.read()  # type: ignore[union-attr]
        self.client = httpx.Client(base_url=f"{found[1]}/api/v1", timeout=60, trust_env=False)
        self.link = self.process.stdout.readline().rpartition(" ")[2].strip()
        assert self.client.get(self.link).status_code in (200, 303)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, project: str, run_id: str) -> Any:
        return self.client.get(f"/projects/local/{project}/runs/{run_id}").json()

    def runs(self, project: str) -> dict[str, Any]:
        answer = self.client.get(f"/projects/local/{project}/runs")
        return {each["name"]: each for each in answer.json()["runs"]} if answer.status_code == 200 else {}

    def rows(self, project: str, run_id: str) -> list[dict[str, Any]]:
        found = self.get(f"/projects/local/{project}/runs/{run_id}/history")["rows"]
        return [{k: v for k, v in row.items() if k not in ("_timestamp", "_runtime")} for row in found]

    def wait_until_read(self) -> Any:
        def found() -> Any:
            status = self.get("/folders")
            return status if status["searched"] and status["read"] == status["files"] else None

        return scripts.wait_for(found, "all files to be read")

    def stop(self) -> str:
        """End the command as Ctrl-C does; return its error output."""
        self.process.terminate()
        assert self.process.wait(60) in (0, -15)
        assert self.process.stderr is not None
        return self.process.stderr.read()


def environment(folder: Path) -> dict[str, str]:
    return scripts.environment(XDG_STATE_HOME=str(folder / "state"), DISPLAY="")


@contextmanager
def opened(folder: Path, *arguments: str) -> Iterator[Opened]:
    found = Opened(folder, *arguments)
    try:
        yield found
    finally:
        found.process.kill()
