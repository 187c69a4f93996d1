"""A notebook: the output of its cells and its history, in a real kernel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.api.captured import output_log

manager = pytest.importorskip("jupyter_client.manager", reason="pip install ipykernel")
pytest.importorskip("ipykernel", reason="pip install ipykernel")
PLACE = ("local", "p", "nb")


@pytest.fixture
def execute(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Return a function that executes a cell, and fails if the cell fails."""
    environment = scripts.environment()
    environment.pop("PYTEST_CURRENT_TEST", None)  # with this variable, a kernel does not capture descriptors
    kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=str(tmp_path), env=environment)

    def run(cell: str) -> None:
        reply = client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply["content"]

    yield run
    client.stop_channels()
    kernel.shutdown_kernel(now=True)


def test_the_output_of_every_cell_is_kept_once(execute: Callable[[str], None]) -> None:
    execute(
        "import subprocess, sys, tracker\n"
        "run = tracker.init(project='p', id='nb', save_code=True, settings={'silent': True})\n"
        "print('first')"
    )
    execute("print('second'); print('trouble', file=sys.stderr)")
    execute("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')")
    execute("!echo from a shell\nsubprocess.run(['echo', 'from a child'])\nprint('third')")
    execute("await asyncio.sleep(0)\nprint('awaited again')")
    execute("print('last')\nrun.finish()\nprint('not kept')")
    execute("print('nor this')")
    run = tracker.Api().run("p/nb")
    lines = output_log(run._reader, PLACE).decode().splitlines()
    assert sorted(lines) == sorted(
        [
            *("first", "second", "trouble", "awaited", "from a shell", "from a child"),
            *("third", "awaited again", "last"),
        ]
    )
    in_order = [line for line in lines if not line.startswith("from")]
    assert in_order == ["first", "second", "trouble", "awaited", "third", "awaited again", "last"]
    with run.file("code/_session_history.ipynb").download(replace=True) as file:
        cells = json.loads(Path(file.name).read_text())["cells"]
    assert [cell["execution_count"] for cell in cells[:2]] == [1, 2]
    assert "print('second')" in cells[1]["source"]


def test_output_between_two_cells_is_kept(execute: Callable[[str], None], tmp_path: Path) -> None:
    """A thread, or a child with late output, prints while no cell runs."""
    execute(
        "import pathlib, threading, time, tracker\n"
        "run = tracker.init(project='p', id='nb', settings={'silent': True})\n"
        "def later(stream):\n"
        "    while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "    stream.write('between\\n')\n"
        "    pathlib.Path('done').touch()\n"
        "import sys\n"
        "thread = threading.Thread(target=later, args=(sys.stdout,))\n"
        "thread.start()\n"
        "print('first')"
    )
    for _ in range(3):  # IPython restores the methods of the streams some milliseconds after a cell's reply
        execute("pass")
    (tmp_path / "go").touch()
    scripts.wait_for((tmp_path / "done").exists, "the thread to print")
    execute("print('second')\nrun.finish()")
    lines = output_log(tracker.Api().run("p/nb")._reader, PLACE).decode().splitlines()
    assert lines == ["first", "between", "second"]
