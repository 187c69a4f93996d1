"""Log a run, or print everything that ``Api`` reads of it, with the previous and with the current version.

    exchange.py log | read | resume

The environment names the folder or the server. The script uses only functions that both versions have.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np

import tracker

ROWS = 5000  # more than the catalog keeps: some rows are in a part before the run ends
WEIGHTS = b"weights" * 1000


def log() -> None:
    """Log rows, media, a table, an artifact with aliases, config, summary and output."""
    print("before the run")
    run = tracker.init(
        project="demo", id="exchanged", config={"lr": 0.1, "net": {"depth": 3}, "odd": math.nan}
    )
    run.define_metric("loss", summary="min")
    for step in range(ROWS):
        run.log({"loss": 1 / (step + 1), "odd": [1.0, math.nan, math.inf, -math.inf][step % 4], "step": step})
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    run.log({"image": tracker.Image(pixels, caption="pixels"), "text": "grüße ✓", "big": 2**70})
    run.log({"table": tracker.Table(columns=["a", "b"], data=[[1, "x"], [math.inf, None]])})
    artifact = tracker.Artifact("model", "model", metadata={"kind": "exchanged"})
    with artifact.new_file("weights.bin", "wb") as file:
        file.write(WEIGHTS)
    with artifact.new_file("notes/small.txt") as file:
        file.write("a small file")
    run.log_artifact(artifact, aliases=["best"])
    run.summary["note"] = "at the end"
    run.alert("a title", "its text")
    print("printed by the script")
    print("an error line", file=sys.stderr)
    run.finish()


def resume() -> None:
    """Resume the run and log the next version of its artifact."""
    run = tracker.init(project="demo", id="exchanged", resume="must")
    assert run.config["net"] == {"depth": 3}
    run.log({"loss": 0.0, "resumed": True})
    artifact = tracker.Artifact("model", "model")
    with artifact.new_file("weights.bin", "wb") as file:
        file.write(WEIGHTS)
    run.log_artifact(artifact, aliases=["best"])
    run.use_artifact("model:v0")
    run.finish()
    edit()


def edit() -> None:
    """Change the run and its artifact through ``Api``."""
    api = tracker.Api()
    run = api.run("local/demo/exchanged")
    run.tags = ["edited"]
    run.update()
    artifact = api.artifact("local/demo/model:v0")
    artifact.description = "edited"
    artifact.aliases.append("first")
    artifact.save()


def read() -> dict[str, object]:
    """Return the content of the run as JSON values."""
    api = tracker.Api()
    run = api.run("local/demo/exchanged")
    rows = [{key: row[key] for key in row if key[0] != "_"} for row in run.scan_history()]
    (image,) = [row["image"] for row in rows if "image" in row]
    (table,) = [row["table"] for row in rows if "table" in row]
    artifact = api.artifact("local/demo/model:best")
    folder = Path(artifact.download())
    weights = (folder / "weights.bin").read_bytes()
    small = folder / "notes" / "small.txt"
    kept = api.artifact("local/demo/run-exchanged-table:v0").get("table")
    lines = [line.content for line in run.console_logs() if line.content in PRINTED]
    with run.file(image["path"]).download("files", replace=True) as picture:
        content = Path(picture.name).read_bytes()
    return {
        "state": run.state,
        "config": repr(run.config),
        "summary": repr({key: run.summary[key] for key in ("loss", "note", "text", "big")}),
        "rows": len(rows),
        "losses": [row["loss"] for row in rows if "loss" in row]
        == [1 / (step + 1) for step in range(ROWS)]
        + ([0.0] if any("resumed" in row for row in rows) else []),
        "odd": repr([row["odd"] for row in rows[:4]]),
        "text": [repr(row["big"]) + row["text"] for row in rows if "text" in row],
        "image": [image["caption"], image["width"], hashlib.sha256(content).hexdigest() == image["sha256"]],
        "table": [table["nrows"], kept.columns, kept.data],
        "aliases": {
            version.version: sorted(version.aliases) for version in api.artifacts("model", "local/demo/model")
        },
        "artifact": [artifact.version, artifact.metadata, weights == WEIGHTS, small.exists()],
        "console": lines,
        "used": sorted(used.name for used in run.used_artifacts()),
        "edited": [run.tags, api.artifact("local/demo/model:v0").description],
        "runs": [found.id for found in api.runs("local/demo", filters={"config.net.depth": 3})],
    }


PRINTED = ("printed by the script", "an error line")

if __name__ == "__main__":
    if sys.argv[1] == "read":
        print(json.dumps(read()))
    else:
        {"log": log, "resume": resume}[sys.argv[1]]()
