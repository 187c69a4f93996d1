"""``tracker top`` in a real terminal: on a folder with a running writer, and on a server."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scripts import environment
from serving import COMMAND, command, serving
from terminals import Terminal

import tracker
from tracker.cli.top import command as top
from tracker.ground.config_files import server_file
from tracker.ground.records import ConsoleLines

QUIET = {"silent": True, "x_disable_stats": True}
UP, DOWN, RIGHT, LEFT, HOME, END, PAGE_UP, ENTER, ESCAPE = (
    *("\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[5~", "\r"),
    "\x1b",
)
Start = Callable[..., Terminal]


def begin(store: Path, run_id: str, name: str, **given: Any) -> Any:
    return tracker.init(
        project="digits",
        id=run_id,
        name=name,
        reinit="create_new",
        settings={**QUIET, "store": store},
        **given,
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "tracker-store"


@pytest.fixture
def start(tmp_path: Path, store: Path) -> Iterator[Start]:
    """Start ``tracker top`` in a terminal."""
    started: list[Terminal] = []

    def start(
        *arguments: str, rows: int = 24, columns: int = 80, code: str | None = None, **variables: str
    ) -> Terminal:
        program = [sys.executable, "-c", code] if code is not None else COMMAND
        given = {"TRACKER_STORE": str(store), "TERM": "xterm-256color", "COLORTERM": "truecolor", **variables}
        terminal = Terminal(
            [*program, "top", *arguments], tmp_path, environment(**given), rows=rows, columns=columns
        )
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close()


def is_restored(terminal: Terminal) -> bool:
    """Return whether the terminal has the modes from before: no other screen, a cursor, no mouse, echo."""
    last = {
        mode: max((terminal.received.rfind(f"\x1b[?{mode}{how}".encode()), how) for how in "hl")[1]
        for mode in (1049, 25, 1000, 1003, 1004, 2004)
    }
    modes = termios.tcgetattr(terminal.file)
    return modes == terminal.modes and last == {
        **dict.fromkeys((1049, 1000, 1003, 1004, 2004), "l"),
        25: "h",
    }


def row_of(terminal: Terminal, name: str) -> str:
    """Return the row of a run in the list."""
    return next((line.partition("│")[0] for line in terminal.lines if name in line.partition("│")[0]), "")


def dots(terminal: Terminal) -> set[tuple[int, int]]:
    """Return the places of the braille characters on the screen."""
    return {
        (at, column)
        for at, line in enumerate(terminal.screen.display)
        for column, each in enumerate(line)
        if "\u2800" < each <= "\u28ff"
    }


@pytest.mark.slow
def test_a_session_with_a_running_run(start: Start, store: Path) -> None:
    ended = begin(store, "ended", "an ended run", config={"lr": 0.5})
    for step in range(30):
        ended.log({"loss": 30.0 - step, "val/acc": step / 30})
    ended.record(ConsoleLines(1.0, [(at, 1, f"line {at} of the output") for at in range(300)]))
    ended.finish(exit_code=1)

    terminal = start("-p", "digits")
    terminal.wait_for("1 runs")
    terminal.wait_for(lambda: "✗" in row_of(terminal, "an ended run") and dots(terminal))

    # A run appears, and the cursor stays at its run.
    live = begin(store, "live", "a live run", config={"lr": 0.1})
    live.log({"loss": 1.0})
    terminal.wait_for(lambda: "▶" in row_of(terminal, "a live run"))
    terminal.wait_for(lambda: row_of(terminal, "an ended run").startswith("●"))
    terminal.press(UP)
    terminal.wait_for(lambda: row_of(terminal, "a live run").startswith("●"))
    terminal.wait_for(lambda: "1\n" in f"{terminal.text}\n" and "val/acc" not in terminal.text)
    before = dots(terminal)
    for step in range(1, 40):
        live.log({"loss": 1.0 / (step + 1)})
    # Its curve grows, and the list has its last step.
    terminal.wait_for(lambda: " 39 " in row_of(terminal, "a live run") and len(dots(terminal)) > len(before))
    terminal.wait_for(lambda: any(line.rstrip("│ ").endswith(" 39") for line in terminal.lines[5:]))

    # A wrong query is an error on one line, and the list stays.
    terminal.press("/nosuch>1\r")
    terminal.wait_for("Unknown field 'nosuch'")
    terminal.wait_for(lambda: row_of(terminal, "an ended run"))
    terminal.press("/lr>0.2\r")
    terminal.wait_for("1 runs  lr>0.2")
    terminal.wait_for(lambda: not row_of(terminal, "a live run"))
    terminal.press("/\x7f\r")
    terminal.wait_for("2 runs")

    # Selected runs are drawn over each other. Signs tell them apart.
    terminal.press(f"{HOME}  ")
    terminal.wait_for(lambda: "a a live run" in terminal.text and "b an ended run" in terminal.text)
    terminal.wait_for(lambda: row_of(terminal, "an ended run").startswith("b"))
    terminal.wait_for("loss")
    terminal.press("f*acc\r")
    terminal.wait_for(lambda: "filter *acc" in terminal.text and "─ loss" not in terminal.text)

    # One chart, with the values under its cursor.
    terminal.press(ENTER)
    terminal.wait_for("step 29")
    terminal.wait_for("0.966667")
    terminal.press(LEFT * 3)
    terminal.wait_for("step 27")
    terminal.press("\x1b[<0;60;8M\x1b[<32;80;8M")  # the mouse, with its button
    terminal.wait_for("step 29")
    terminal.press("\x1b[<0;80;8m")
    terminal.press(f"y{ESCAPE}")
    terminal.wait_for("1  filter *acc  log scale")
    terminal.press(ESCAPE)
    terminal.wait_for("space Select")

    # The output: its end, back, and lines with a text.
    terminal.press(f"3{END}")
    terminal.wait_for("line 299 of the output")
    terminal.press(f"{ENTER}{HOME}")
    terminal.wait_for("line 0 of the output")
    terminal.press("fline 27\r")
    terminal.wait_for("11 lines contain line 27")
    terminal.press("4")
    terminal.wait_for("failed: exit status 1")

    # A new alert is shown over the panel, and in the list of alerts.
    live.alert("Loss is high", "It is 12", level="WARN")
    terminal.wait_for("a live run: Loss is high")
    terminal.press("5")
    terminal.wait_for("WARN  a live run: Loss is")
    terminal.wait_for("5Alerts 1")

    # Another size, help, the end.
    terminal.resize(40, 150)
    terminal.wait_for("WARN  a live run: Loss is high")  # on one line
    terminal.press("1?")
    terminal.wait_for("page up, page down")
    terminal.press(" ")
    terminal.wait_for("╭─ val/acc")
    live.finish()
    terminal.wait_for(lambda: "✓" in row_of(terminal, "a live run"))
    terminal.press("q")
    assert terminal.wait() == 0
    assert is_restored(terminal)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(start: Start, store: Path, number: signal.Signals) -> None:
    begin(store, "one", "one").finish()
    terminal = start()
    terminal.wait_for("1 runs")
    os.kill(terminal.pid, number)
    assert terminal.wait() == 128 + number
    assert is_restored(terminal)


CRASH = """
import sys
from tracker.cli.main import main
from tracker.cli.top.reads import Source
from tracker.cli.top.run_table import RunTable
def fail(*_):
    api_key = "a secret of the frame"
    raise RuntimeError("it broke")
{where} = fail
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["Source.charts", "RunTable.paint"])
def test_an_unexpected_error_gives_the_terminal_back(start: Start, store: Path, where: str) -> None:
    run = begin(store, "one", "one")
    run.log({"loss": 1})
    run.finish()
    terminal = start(code=CRASH.format(where=where))
    assert terminal.wait() == 1
    assert is_restored(terminal)
    assert b"RuntimeError: it broke" in terminal.received
    assert b"secret" not in terminal.received


@pytest.mark.slow
def test_output_and_names_cannot_control_the_terminal(start: Start, store: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x1bP1;2q\x9b5n end"
    run = begin(store, "evil", f"a{evil}", config={evil: evil}, notes=evil, group=evil)
    run.log({f"m{evil}": 1.0, "loss": 1.0})
    run.record(ConsoleLines(1.0, [(0, 1, evil)]))
    run.alert(evil, evil)
    run.finish(exit_code=1)
    terminal = start()
    terminal.wait_for("1 runs")
    for key, shown in (("1", "loss"), ("3", "red"), ("4", "Config"), ("5", "INFO")):
        terminal.press(key)
        terminal.wait_for(shown)
    terminal.press("q")
    assert terminal.wait() == 0
    for harm in (b"\x1b]0;", b"\x1b[2J", b"\x1bP1", "\x9b".encode(), b"\x07"):
        # textual itself sets the shape of the mouse pointer.
        assert harm not in re.sub(rb"\x1b]22;\w+\x07", b"", terminal.received)
    assert "title" not in terminal.screen.title


@pytest.mark.slow
def test_it_reads_a_server_and_names_its_end(start: Start, store: Path) -> None:
    run = begin(store, "one", "server run")
    run.log({"loss": 1.0, "image": tracker.Image(Image.new("RGB", (8, 8), "red"), caption="a caption")})
    run.finish()
    with serving(store, key=True) as server:
        variables = {"TRACKER_BASE_URL": server.url, "TRACKER_API_KEY": server.key or ""}
        terminal = start(TRACKER_STORE=str(store.parent / "none"), NO_COLOR="1", **variables)
        terminal.wait_for("server run")
        terminal.wait_for("╭─ loss")
        terminal.press("6")
        terminal.wait_for(lambda: "step 0  a caption" in terminal.text and "▀" in terminal.text)
        server.stop()
        terminal.wait_for(server.url)
        terminal.wait_for(lambda: row_of(terminal, "server run"))
        with serving(store, port=server.port, key=True):
            terminal.wait_for(lambda: server.url not in terminal.text)
        terminal.press("q")
        assert terminal.wait() == 0
    # NO_COLOR: shades of grey.
    shades = set(re.findall(rb"[34]8;2;(\d+;\d+;\d+)", terminal.received))
    assert shades and all(len(set(each.split(b";"))) == 1 for each in shades)


@pytest.mark.slow
def test_errors_of_arguments_are_one_line(start: Start, store: Path) -> None:
    begin(store, "one", "one").finish()
    terminal = start("nosuch")
    assert terminal.wait() == 4
    assert "tracker: No run matches 'nosuch'. List the runs with: tracker ls" in terminal.text
    assert is_restored(terminal)


@pytest.mark.slow
def test_the_layout_is_kept_for_the_next_start(start: Start, store: Path) -> None:
    for name in ("one", "two"):
        run = begin(store, name, name)
        run.log({"loss": 1.0, "val/acc": 1.0, "image": tracker.Image(Image.new("RGB", (8, 8), "red"))})
        run.finish()
    file = server_file().with_name("top.json")

    def session(
        *arguments: str, keys: Sequence[tuple[str, str]] = (), shows: Sequence[str], hides: str = "\0"
    ) -> Terminal:
        terminal = start("-p", "digits", *arguments, columns=100)
        terminal.wait_for("NAME")
        for each, shown in keys:
            terminal.press(each)
            terminal.wait_for(shown)
        terminal.wait_for(lambda: all(text in terminal.text for text in shows) and hides not in terminal.text)
        terminal.press("q")
        assert terminal.wait() == 0
        assert is_restored(terminal)
        return terminal

    keys = [("sname\r", "sort name"), ("facc\r", "filter acc"), ("y", "log scale")]
    session(keys=keys, shows=["sort name"])
    assert (file.stat().st_mode & 0o777) == 0o600
    session(shows=["sort name", "filter acc  log scale"])
    # An option wins, and holds for one start only.
    session("-s", "-created_at", shows=["filter acc"], hides="sort")
    session("one", shows=["1 runs  sort name"])
    session("--reset", keys=[("6", "─ image")], shows=["▀"], hides="sort")
    assert json.loads(file.read_text())[f"{store} local/digits"]["tab"] == "media"
    terminal = session(shows=["─ image", "▀"])
    cells = [cell for row in terminal.screen.buffer.values() for cell in row.values() if cell.data == "▀"]
    assert {cell.fg for cell in cells} <= {"ff0000"}

    file.write_text("[" * 100_000)
    session(shows=["╭─ loss"])
    file.unlink()
    file.mkdir()
    terminal = session(shows=["╭─ loss"])
    assert f"tracker: The layout is not kept: cannot write {file}" in terminal.text.replace("\n", "")


def test_without_a_terminal_or_the_package_it_says_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store, "one", "one").finish()
    found = command("top", folder=store.parent, TRACKER_STORE=str(store))
    assert (found.returncode, found.stderr) == (
        1,
        "tracker: tracker top needs a terminal. Use tracker ls or tracker tail in scripts.\n",
    )
    monkeypatch.setattr(top, "find_spec", lambda _: None)
    with pytest.raises(tracker.Error, match=r"Run: pip install 'airgap-tracker\[top\]'"):
        top._top(None)  # type: ignore[arg-type]
