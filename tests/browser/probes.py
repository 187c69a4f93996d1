"""Texts that try to run a script in a page that shows them, and a store that has one in each field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from builders import Writer, apply_all
from playwright.sync_api import Locator, expect

import tracker
from server.accounts.passwords import hash_password
from tracker import plot
from tracker.ground.records import ConsoleLines, SystemSample
from tracker.recorder.open_store import open_store
from tracker.store.ingest.people import Actor, changing_people

from .filled_store import ADMIN, PASSWORD

PLACE = "team/probes"
SCRIPT = "<script>parent.ran = 1; window.ran = 1</script>"
# Markdown that tries to run a script, to load something, or to change the page.
MARKDOWN = """**bold** ![a picture](http://evil.example/p.png) ![](javascript:window.ran=1)

<script>window.ran = 1</script><img src=x onerror="window.ran = 1"><img src="//evil.example/q.png">
<svg onload="window.ran = 1"><animate onbegin="window.ran = 1"/></svg>
<math><mtext><style><img onerror=window.ran=1 src=x></style></mtext></math>
<iframe src="http://evil.example"></iframe><object data="http://evil.example"></object><embed src="http://evil.example">
<a href="javascript:window.ran=1">one</a> [two](javascript:window.ran=1)
[three](data:text/html,<script>window.ran=1</script>)
[four](JaVaScRiPt:window.ran=1) <a href="&#106;avascript:window.ran=1">five</a>
[safe](https://example.com "title")
<form action="http://evil.example"><input name="password"><button>Sign in</button></form>
<div style="position:fixed;inset:0" class="overlay" id="app" name="body">over</div>
<link rel="stylesheet" href="http://evil.example/s.css">
<style>body { background: url(http://evil.example/b.png) }</style>
<video src="http://evil.example/v" autoplay></video>
<base href="http://evil.example"><meta http-equiv="refresh" content="0;url=http://evil.example">
<details open ontoggle="window.ran=1"><summary>more</summary>text</details>
<noscript><p title="</noscript><img src=x onerror=window.ran=1>">

| head |
| --- |
| cell |
"""


def expect_safe(text: Locator) -> None:
    """Fail if a text of ``MARKDOWN`` can run or load something, or can change the page."""
    expect(text.locator("strong").first).to_have_text("bold")
    unsafe = (
        "script, style, iframe, object, embed, svg, math, form, input, button, video, link, meta, base, img, "
        "[style], [class], [id], [name]"
    )
    expect(text.locator(unsafe)).to_have_count(0)
    addresses = text.locator("a[href]").evaluate_all(
        "all => all.map(a => [a.getAttribute('href'), a.rel, a.target])"
    )
    assert all(re.match("https?://|mailto:|/", href) for href, _, _ in addresses), addresses
    assert all(rel.startswith("noopener") and target == "_blank" for _, rel, target in addresses)
    handlers = text.locator("*").evaluate_all(
        "all => all.flatMap(e => [...e.attributes]).filter(a => a.name.startsWith('on')).length"
    )
    assert handlers == 0


def probe(field: str) -> str:
    """Return a text that leaves an attribute and a style, and adds an element with a script."""
    return f"{field}\"'><img src=x onerror=ran=1>}}*{{color:red}}"


# The fields with a probe. The text of each must be seen on some screen.
FIELDS = (
    "name", "group", "job", "tag", "key", "value", "inner", "item", "metric", "summary", "caption",
    "label", "column", "cell", "title", "file", "code", "alias", "description",
    "metadata", "member", "alert", "message", "view", "panel", "section", "argument", "program",
    "remote", "package", "output", "osc", "host", "full-name", "error", "difference", "notes",
    "text-file", "class",
)  # fmt: skip


def fill_probes(folder: Path) -> Path:
    """Fill the store ``folder``/tracker-store with a probe in each field; return its path."""
    path = folder / "tracker-store"
    store = open_store(path)
    _write_captured(store)
    apply_all(store)
    with changing_people(store, Actor("test")) as change:
        change.add_user(ADMIN, full_name=probe("full-name"), is_admin=True, password=hash_password(PASSWORD))
        change.set_role(ADMIN, "team", "probes", "admin")
    store.close()
    for run_id in ("first", "second"):
        _log(path, folder, run_id)
    return path


def _log(store: Path, folder: Path, run_id: str) -> None:
    entity, project = PLACE.split("/")
    run = tracker.init(
        entity=entity,
        project=project,
        id=run_id,
        name=probe("name"),
        group=probe("group"),
        job_type=probe("job"),
        tags=[probe("tag")],
        notes=f"{probe('notes')}\n\n{MARKDOWN}",
        dir=str(folder),
        config={probe("key"): probe("value"), "nested": {probe("inner"): [probe("item")]}, "own": run_id},
        settings={"store": store, "silent": True},
        reinit="create_new",
    )
    for step in range(3):
        run.log({probe("metric"): step, "loss": step})
    run.summary["best"] = probe("summary")
    classes = {1: probe("label"), 2: "other"}
    position = {"minX": 0.1, "maxX": 0.5, "minY": 0.1, "maxY": 0.5}
    boxes = {"guess": {"box_data": [{"position": position, "class_id": 1}], "class_labels": classes}}
    image = tracker.Image(np.zeros((40, 60), dtype=np.uint8), caption=probe("caption"), boxes=boxes)
    table = tracker.Table(columns=[probe("column"), "n"], data=[[probe("cell"), 1], ["plain", 2]])
    labels = {"y_true": [0, 1], "preds": [0, 1], "class_names": [probe("class"), "b"]}
    run.log({"picture": image, "rows": table})
    bars = tracker.Table(columns=["l", "v"], data=[["a", 1], ["b", 2]])
    run.log({"bars": plot.bar(bars, "l", "v", probe("title")), "matrix": plot.confusion_matrix(**labels)})
    saved = folder / run_id
    saved.mkdir()
    for name, text in (
        (probe("file").replace("/", "") + ".txt", probe("text-file")),
        ("evil.svg", f"<svg xmlns='http://www.w3.org/2000/svg' onload='window.ran=1'>{SCRIPT}</svg>"),
        ("evil.html", SCRIPT),
        ("evil.md", MARKDOWN),
    ):
        (saved / name).write_text(text)
        run.save(str(saved / name), base_path=str(saved), policy="now")
    model = tracker.Artifact(
        "model", "model", description=probe("description"), metadata={"m": probe("metadata")}
    )
    with model.new_file(f"{probe('member').replace('/', '')}.txt") as file:
        file.write(run_id)
    run.log_artifact(model, aliases=[probe("alias").replace("/", "").replace(":", "")], tags=["plain"])
    run.alert(probe("alert"), probe("message"), level="ERROR")
    run.finish()


def _write_captured(store) -> None:
    entity, project = PLACE.split("/")
    writer = Writer(store.layout, "c" * 32, "captured", entity=entity, project=project, name="captured")
    facts = {
        "program": probe("program"),
        "args": [probe("argument")],
        "host": probe("host"),
        "codePathLocal": "train.py",
        "git": {"remote": f"javascript:{probe('remote')}", "commit": "c0ffee"},
    }
    writer.file("wandb-metadata.json", json.dumps(facts).encode(), "application/json")
    writer.file("requirements.txt", f"{probe('package')}==1\n".encode())
    writer.file("diff.patch", f"--- a/a\n+++ b/a\n@@ -1 +1 @@\n-old\n+{probe('difference')}\n".encode())
    writer.file("code/train.py", probe("code").encode())
    lines = [
        (0, 1, f"\x1b[31m{probe('output')}\x1b[0m"),
        (1, 2, f"\x1b]8;;javascript:window.ran=1\x07{probe('osc')}\x1b]8;;\x07"),
    ]
    writer.put(ConsoleLines(writer.tick(), lines))
    writer.put(SystemSample(writer.tick(), {"cpu": 1.0}))
    writer.log({"loss": 1.0})
    writer.finish("failed", 1, probe("error"))
