"""The real wandb client, which logs to a server and reads from it: figure ``wandb``.

The lower bound is the same client with a sink, which repeats the answers of a server. Both are measured in
turns. The server's CPU for rows of many runs is compared with that for the same rows of ``tracker``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.measuring import Options, ScriptError, environment, ours, run_script, wait_for, workplace
from benchmarks.product import PROJECT, store_of, wait_sealed
from benchmarks.report import ROOT, Result, Row, row, spread
from benchmarks.runs_query import PROJECT as MANY
from benchmarks.runs_query import fill
from benchmarks.server_under_load import ROWS_PER_SECOND, RUNS_OF_PROCESS, read_line, tell
from benchmarks.serving import RUNS, Server, serving
from benchmarks.wandb_sink import sinking
from tracker.recorder.open_store import open_store

PYTHON = Path(os.environ.get("TRACKER_WANDB_PYTHON") or ROOT / ".venv-differential/bin/python")
SCRIPT = ROOT / "benchmarks" / "wandb_client.py"
KEYS = 10
CLIENTS = 32
MOST = 1.3
MOST_CPU = 3.0
MOST_DELAY = 1.0
LISTED = 1_000
REPEATS_OF_FILES = 3


def measure(options: Options) -> Result:
    """Measure rows, many clients, an artifact and reads.

    Raises:
        ScriptError: The wandb client is not installed.
    """
    if not PYTHON.is_file():
        raise ScriptError(f"There is no {PYTHON}. Run `python3 dev.py test -m wandb_client`, which makes it.")
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for part in (_rows, _clients, _artifact, _reads):
        with workplace(options) as folder:
            rows += part(folder, options, details)
    return Result(rows, details)


def _rows(folder: Path, options: Options, details: dict[str, Any]) -> list[Row]:
    with _served(folder / "tracker-store") as server:
        command = ("log", "rows", options.rows, KEYS)
        found = _in_turns(folder, server, lambda _: command, options.repeats)
    details["rows"] = {name: spread(times) for name, times in found.items()}
    figure = f"wandb client, {options.rows:,} rows of {KEYS}, until finish() returns"
    return [_compared(figure, found)]


def _artifact(folder: Path, options: Options, details: dict[str, Any]) -> list[Row]:
    source = folder / "source"
    with source.open("wb") as file:
        for _ in range(options.artifact_mb):
            file.write(os.urandom(2**20))
    rows, repeats = [], min(options.repeats, REPEATS_OF_FILES)
    size = f"{options.artifact_mb / 1024:g} GiB"
    for name, command in (("up", ("upload", "files", source)), ("down", ("download", "down"))):
        # A content that the server has is not sent again: each upload has its own.
        def change(at: int, command: tuple[object, ...] = command) -> tuple[object, ...]:
            with source.open("r+b") as file:
                file.write(at.to_bytes(8, "big"))
            return command

        with _served(folder / "tracker-store") as server:
            found = _in_turns(folder, server, change if name == "up" else lambda _, it=command: it, repeats)
        details[f"artifact {name}"] = {who: spread(times) for who, times in found.items()}
        rows.append(_compared(f"wandb client, artifact of {size} {name}", found))
    return rows


def _reads(folder: Path, options: Options, details: dict[str, Any]) -> list[Row]:
    run_script(ours("product", "log-series", folder, "series", options.series_steps, ""), folder)
    wait_sealed(store_of(folder), 1)
    listed = min(LISTED, options.requests)
    store = open_store(store_of(folder))
    fill(store, listed)
    store.close()
    rows = []
    for name, command in (
        (
            f"scan_history of {options.series_steps:,} rows",
            ("scan", f"{PROJECT}/series", options.series_steps),
        ),
        (f"Api().runs() of {listed:,} runs", ("runs", f"local/{MANY}", listed)),
    ):
        with _served(store_of(folder)) as server:
            before = server.tree_cpu_seconds()
            alone = _client(folder, server.url, *command)
            cpu = server.tree_cpu_seconds() - before
            found = _in_turns(folder, server, lambda _, it=command: it, options.repeats)
        details[name] = {
            "server's CPU": cpu,
            "client": alone,
            **{who: spread(times) for who, times in found.items()},
        }
        note = (
            f"of {alone['seconds']:.2f} s, the client's Python computes {alone['cpu']:.2f} s "
            f"and the server {cpu:.2f} s"
        )
        rows.append(_compared(f"wandb client, {name}", found, note))
    return rows


def _in_turns(
    folder: Path, server: Server, command: Callable[[int], tuple[object, ...]], repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of a command with the server and with a sink."""
    found: dict[str, list[float]] = {"server": [], "sink": []}
    with sinking(server.port) as sink:
        _client(folder, sink.url, *command(0))
        for at in range(1, repeats + 1):
            found["server"].append(_client(folder, server.url, *command(at))["seconds"])
            sink.repeat()
            found["sink"].append(_client(folder, sink.url, *command(at))["seconds"])
    return found


def _compared(figure: str, found: dict[str, list[float]], note: str = "") -> Row:
    middle = {who: statistics.median(times) for who, times in found.items()}
    return row(figure, "s", middle["server"], "the same client with a sink", middle["sink"],
               most=MOST, target=f"<= {MOST:g}x", note=note)  # fmt: skip


def _clients(folder: Path, options: Options, details: dict[str, Any]) -> list[Row]:
    """Measure the server's CPU for rows of both clients, and then how late rows of wandb arrive."""
    names = [f"w{at}" for at in range(min(CLIENTS, options.writers))]
    cpu: dict[str, float] = {}
    logged: dict[str, int] = {}
    for who in ("tracker", "wandb"):
        place = folder / who
        place.mkdir()
        with _served(place / "tracker-store") as server:
            before = server.tree_cpu_seconds()
            count = _log_live(place, server.url, who, names, options.load_seconds)
            wait_sealed(place / "tracker-store", len(names))
            logged[who] = count
            cpu[who] = (server.tree_cpu_seconds() - before) / count * 1e6
            details[f"clients, {who}"] = {"rows": count, "us": cpu[who]}
    place = folder / "delays"
    place.mkdir()
    delays = _delays(place, names, options.load_seconds)
    details["delays"] = delays
    late = statistics.quantiles(delays, n=20)[18] if len(delays) > 1 else delays[0]
    who = f"{len(names)} wandb clients, {ROWS_PER_SECOND} rows a second"
    return [
        row(f"{who}: server's CPU for a row", "us", cpu["wandb"], "rows of tracker", cpu["tracker"],
            most=MOST_CPU, target=f"<= {MOST_CPU:g}x", note=f"rows: {logged}, also for starts and ends"),
        Row(f"{who}: from a post until a reader sees its rows, p95", "s", late, target=f"< {MOST_DELAY:g} s",
            met=late < MOST_DELAY),
    ]  # fmt: skip


def _delays(folder: Path, names: list[str], seconds: int) -> list[float]:
    """Return for each post the time from its arrival until the API shows its last row."""
    delays: list[float] = []
    watching: list[Thread] = []
    with _served(folder / "tracker-store") as server:

        def watch(run: str, logged_at: float, received_at: float) -> None:
            client = server.again()
            wait_for(
                lambda: json.loads(client.get(f"{RUNS}/{run}"))["summary"].get("logged_at", 0) >= logged_at,
                f"the row of {run}",
            )
            delays.append(time.time() - received_at)

        def posted(run: str, post: Any, received_at: float) -> None:
            lines = post.get("files", {}).get("wandb-history.jsonl", {}).get("content")
            if lines:
                logged_at = json.loads(lines[-1])["logged_at"]
                watching.append(Thread(target=watch, args=(run, logged_at, received_at)))
                watching[-1].start()

        with sinking(server.port, posted) as forwarder:
            _log_live(folder, forwarder.url, "wandb", names, seconds)
        for each in watching:
            each.join()
    if not delays:
        raise ScriptError("No rows arrived.")
    return delays


def _log_live(folder: Path, url: str, who: str, names: list[str], seconds: int) -> int:
    """Log runs for some seconds with one of the clients, and finish them; return the number of rows."""
    with ExitStack() as stack:
        writers = []
        for at in range(0, len(names), RUNS_OF_PROCESS):
            some = names[at : at + RUNS_OF_PROCESS]
            if who == "wandb":
                command = [str(PYTHON), str(SCRIPT), "live", str(ROWS_PER_SECOND), *some]
                variables = _variables(folder, url)
            else:
                command = ours("server_under_load", *some)
                variables = {"TRACKER_BASE_URL": url, "TRACKER_SILENT": "true"}
            writers.append(
                stack.enter_context(
                    subprocess.Popen(
                        command,
                        cwd=folder,
                        env=environment(**variables),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        text=True,
                    )
                )
            )
        for each in writers:
            read_line(each)
        tell(writers)
        time.sleep(seconds)
        tell(writers)
        return sum(int(read_line(each)) for each in writers)


def _client(folder: Path, url: str, *arguments: object) -> dict[str, Any]:
    return run_script([str(PYTHON), str(SCRIPT), *map(str, arguments)], folder, **_variables(folder, url))


def _variables(folder: Path, url: str) -> dict[str, str]:
    # With --no-key the server does not check the key. The client checks its form.
    return {
        "PYTHONPATH": "",
        "HOME": str(folder),
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": "local-" + 40 * "0",
        "WANDB_SILENT": "true",
    }


@contextmanager
def _served(store: Path) -> Iterator[Server]:
    open_store(store).close()
    with serving(store) as server:
        yield server
