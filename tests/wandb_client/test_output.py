"""Printed lines, code and saved files of the real client."""

from __future__ import annotations

from typing import Any

import pytest

import tracker

pytestmark = pytest.mark.wandb_client

OUTPUT = """
import pathlib, sys, wandb
pathlib.Path("train.py").write_text("print('training')\\n")
pathlib.Path("deep").mkdir(exist_ok=True)
pathlib.Path("deep/model.py").write_text("layers = 3\\n")
pathlib.Path("notes.txt").write_text("no code")
pathlib.Path("live.txt").write_text("before")
settings = wandb.Settings(console="wrap_raw", console_multipart=True, console_chunk_max_bytes=1000)
with wandb.init(project="p", id="output", settings=settings) as run:
    run.log_code(".", name="code")
    run.save("live.txt", policy="live")
    for number in range(200):
        print("line", number)
    print("to stderr", file=sys.stderr)
    pathlib.Path("live.txt").write_text("after")
with wandb.init(project="p", id="wrapped", settings=wandb.Settings(console="wrap")) as run:
    for number in range(5):
        print("\\rprogress", number, end="")
    print()
    print("two\\nlines")
"""


def test_output_code_and_files_arrive_whole(client: Any) -> None:
    client.run(OUTPUT)
    api = tracker.Api(overrides={"store": str(client.store)})
    run = api.run("local/p/output")
    found = [(line.stream, line.text) for line in run._reader.console("local", "p", "output").lines]
    lines = [("stdout", f"line {number}") for number in range(200)]
    assert [line for line in found if not line[1].startswith("wandb:")] == [*lines, ("stderr", "to stderr")]
    (code,) = run.logged_artifacts()
    assert (code.name, code.type, sorted(code.manifest.entries)) == (
        "code:v0",
        "code",
        ["deep/model.py", "train.py"],
    )
    files = {each.name: each for each in run.files()}
    with files["live.txt"].download(root=str(client.folder / "down")) as file:
        assert file.read() == "after"
    assert any(name.startswith("logs/output_") for name in files)  # the parts of the output
    wrapped = api.run("local/p/wrapped")._reader.console("local", "p", "wrapped").lines
    assert [line.text for line in wrapped] == ["progress 4", "two", "lines"]
