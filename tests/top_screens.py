"""The screen of ``tracker top`` in this process, driven by a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from textual.pilot import Pilot

import tracker
from tracker.cli.main import make_parser
from tracker.cli.run_selection import open_selection
from tracker.cli.top.app import TopApp
from tracker.cli.top.reads import Source
from tracker.cli.top.run_table import RunTable

LONGEST_SECONDS = 60.0


def begin(store: Path, project: str, run_id: str, **given: Any) -> Any:
    settings = {"silent": True, "x_disable_stats": True, "store": store}
    return tracker.init(
        project=project, id=run_id, name=run_id, reinit="create_new", settings=settings, **given
    )


class Screen:
    """The screen of an app that a test drives."""

    def __init__(self, app: TopApp, pilot: Pilot[Any]) -> None:
        self.app, self._pilot = app, pilot

    def text(self, panel: str) -> str:
        """Return the text of a panel."""
        found = self.app.query_one(f"#{panel}")
        return "\n".join(found.render_line(y).text.rstrip() for y in range(found.size.height))

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def type(self, key: str, text: str) -> None:
        """Type a text in the line at the bottom."""
        await self.press(key)
        self.app._input.value = text
        await self.press("enter")

    async def wait_for(self, panel: str, *texts: str) -> None:
        """Wait until a panel has texts."""
        await self.until(lambda: all(text in self.text(panel) for text in texts), panel)

    async def until(self, condition: Callable[[], bool], panel: str = "runs") -> None:
        """Wait until a condition is true."""
        end = time.monotonic() + LONGEST_SECONDS
        while not condition():
            assert time.monotonic() < end, f"the panel has:\n{self.text(panel)}"
            await asyncio.sleep(0.02)


def drive(
    store: Path,
    scenario: Callable[[Screen], Awaitable[None]],
    *arguments: str,
    size: tuple[int, int] = (100, 30),
    kept: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Start the app in this process, and let a scenario use it."""
    options = make_parser().parse_args(["top", "--store", str(store), *arguments])
    selection = open_selection(options)

    async def run() -> None:
        source = Source(selection, options.runs, options.job)
        app = TopApp(source, "all", RunTable(options.query or ""))
        app.restore(kept)
        async with app.run_test(size=size) as pilot:
            await scenario(Screen(app, pilot))

    asyncio.run(run())
