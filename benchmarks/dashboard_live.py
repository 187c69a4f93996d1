"""The dashboard while runs are logged: the delay of values, the received bytes, and what a page keeps."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from benchmarks.chromium import ALL_RUNS, CHART, Scene, Tab, has_chart
from benchmarks.large_stores import ENTITY
from benchmarks.measuring import environment, ours, wait_for
from benchmarks.report import Row, row

PROJECT = "live"
CHARTS, ROWS_A_SECOND, TIMES_AS_FAST = 20, 50, 6
# The metric whose values are the times of `log()`.
CLOCK = f"{PROJECT}/clock"
# The delay is measured for this long. The page is this high, so that all charts are on the screen.
SECONDS, HEIGHT = 20, 2_400
SAMPLES = 10
# Notes the time (Unix seconds) of each frame with a new value of a chart, and the value.
NOTE_UPDATES = """([selector, key]) => {
    window.updates = [];
    new MutationObserver(() => {
        const chart = document.querySelector(`${selector}[data-key="${key}"]`);
        const value = Object.values(JSON.parse(chart?.dataset.last || "{}"))[0];
        if (value === undefined || value === window.updates.at(-1)?.[1]) return;
        requestAnimationFrame(() => setTimeout(() => window.updates.push([Date.now() / 1000, value])));
    }).observe(document, { subtree: true, attributeFilter: ["data-last"] });
}"""
# The same for a page that only asks the server for the run's summary, again and again.
ASK_SUMMARY = """async ([address, key, seconds]) => {
    const updates = [];
    const end = Date.now() / 1000 + seconds;
    while (Date.now() / 1000 < end) {
        const value = (await (await fetch(address)).json()).summary[key];
        if (value !== updates.at(-1)?.[1]) updates.push([Date.now() / 1000, value]);
    }
    return updates;
}"""
# The counters of a page that must not grow, with their units.
KEPT = {
    "heap": ("JSHeapUsedSize", "MB", 1e6),
    "nodes": ("Nodes", "", 1),
    "listeners": ("JSEventListeners", "", 1),
}


def measure_delay(scene: Scene) -> None:
    """Measure the delay from ``log()`` to the frame with the value, and the bytes that the page receives."""
    seconds = min(SECONDS, scene.options.watch_seconds)
    delays: dict[str, list[float]] = {}
    received = 0

    def receive(event: dict[str, Any]) -> None:
        nonlocal received
        received += event["encodedDataLength"] or event["dataLength"]

    with _live_run(scene, "slow", ROWS_A_SECOND) as run:
        with scene.tab(height=HEIGHT) as tab:
            _open(scene, tab)
            tab.page.evaluate(NOTE_UPDATES, [CHART, CLOCK])
            tab.cdp.on("Network.dataReceived", receive)
            tab.cdp.send("Network.enable")
            tab.page.wait_for_timeout(seconds * 1000)
            delays["dashboard"] = _delays(tab.page.evaluate("window.updates"))
        with scene.tab() as tab:
            tab.page.goto(f"{scene.server.url}/api/v1/health")
            delays["a loop that asks for the summary"] = _delays(
                tab.page.evaluate(ASK_SUMMARY, [run, CLOCK, seconds])
            )
    title = f"live run of {CHARTS} metrics at {ROWS_A_SECOND} rows a second"
    (_, mine), (against, floor) = ((kind, statistics.median(found)) for kind, found in delays.items())
    scene.add(Row(f"{title}: log() to pixels", "s", mine, against, floor, "< 1 s", mine < 1), delays)
    a_value = received / (seconds * ROWS_A_SECOND * CHARTS)
    figure = f"{title}: received for a value"
    scene.add(row(figure, "bytes", a_value, "step and value as doubles", 16, most=2, target="<= 2x"))


def measure_growth(scene: Scene) -> None:
    """Measure what a page keeps that shows a live run: the heap after garbage collections, and objects."""
    rate, seconds = ROWS_A_SECOND * TIMES_AS_FAST, scene.options.watch_seconds
    samples: list[dict[str, float]] = []
    with _live_run(scene, "fast", rate), scene.tab(height=HEIGHT) as tab:
        _open(scene, tab)
        for _ in range(SAMPLES):
            tab.page.wait_for_timeout(seconds * 1000 / SAMPLES)
            tab.cdp.send("HeapProfiler.collectGarbage")
            samples.append(tab.counters())
    title = f"watching {CHARTS} metrics at {rate} rows a second for {seconds} s"
    for what, (name, unit, scale) in KEPT.items():
        third, *last = (samples[at][name] / scale for at in (2, *range(-5, 0)))
        figure = f"{title}: {what}"
        scene.add(row(figure, unit, max(last), "third sample", third, most=1.1, target="<= 1.1x"), samples)


@contextmanager
def _live_run(scene: Scene, run_id: str, rows_a_second: int) -> Iterator[str]:
    """Log rows at a rate while the block runs; yield the path of the run in the API."""
    command = ours("product", "log-live", scene.folder, PROJECT, run_id, CHARTS, rows_a_second)
    script = subprocess.Popen(
        command, cwd=scene.folder, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    path = f"/api/v1/projects/{ENTITY}/{PROJECT}/runs"
    try:
        server = scene.server.again()  # the server has closed its idle connections
        wait_for(lambda: run_id.encode() in server.get(path), "the live run")
        yield f"{path}/{run_id}"
    finally:
        script.communicate(timeout=120)


def _open(scene: Scene, tab: Tab) -> None:
    tab.page.goto(f"{scene.server.url}/{ENTITY}/{PROJECT}?{ALL_RUNS}")
    has_chart(tab)


def _delays(updates: list[tuple[float, float]]) -> list[float]:
    """Return the delay of each row from its ``log()`` until an update showed the row or a later one.

    Args:
        updates: The time of each update, and the time at which its newest row was logged.
    """
    delays = []
    for (_, before), (shown_at, newest) in pairwise(updates):
        rows = max(1, round((newest - before) * ROWS_A_SECOND))
        delays += [shown_at - newest + at / ROWS_A_SECOND for at in range(rows)]
    return delays
