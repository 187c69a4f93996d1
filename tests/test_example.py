"""The example of the README's first command: train, serve, download by alias, evaluate."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
import scripts

from tracker.ground import config_files

# They are not imported here: each process that collects the tests would take seconds.
for name in ("pytorch_lightning", "sklearn"):
    if find_spec(name) is None:
        pytest.skip("pip install 'airgap-tracker[lightning,examples]'", allow_module_level=True)


def get(url: str) -> dict:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {config_files.key_of(url)}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_example_trains_serves_and_evaluates(tmp_path: Path) -> None:
    example = scripts.ROOT / "examples" / "digits.py"
    process = subprocess.Popen(
        [sys.executable, example, "--epochs", "3", "--port", "0"],
        cwd=tmp_path,
        env=scripts.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.strip())
            if "Press Ctrl-C" in line:
                break
        text = "\n".join(lines)
        trained = re.search(
            r"trained: best val_accuracy (\S+), logged as (local/digits/model-(\w+):best)", text
        )
        fetched = re.search(
            r"downloaded (\S+):v\d+ \(.*best.*\): val_accuracy (\S+), at save time (\S+): the same", text
        )
        address = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert trained and fetched and address, text
        assert fetched[1] == f"local/digits/model-{trained[3]}"
        assert fetched[2] == fetched[3] == trained[1]
        assert float(trained[1]) > 0.5

        base = f"{address[0]}/api/v1/projects/local/digits"
        runs = {run["id"]: run for run in get(f"{base}/runs")["runs"]}
        assert len(runs) == 2
        run = runs[trained[3]]
        assert run["state"] == "finished"
        assert run["config"] == {"width": 16, "learning_rate": 0.01}
        kinds = {key["key"]: key["kind"] for key in get(f"{base}/runs/{run['id']}")["keys"]}
        assert kinds["train/loss"] == kinds["val_accuracy"] == "number"
        assert (kinds["samples"], kinds["predictions"]) == ("image", "table")
        images = get(f"{base}/runs/{run['id']}/objects?key=samples")["steps"]
        assert len(images) == 3
        assert re.fullmatch(r"\d read as \d", images[-1]["value"]["captions"][0])
        table = get(f"{base}/runs/{run['id']}/table?key=predictions")
        assert table["columns"] == ["image", "digit", "prediction", "confidence"]
        assert table["rows"][0][0]["_type"] == "image-file"
        best = get(f"{base}/artifacts/model-{run['id']}/best")
        (evaluation,) = runs.keys() - {run["id"]}
        assert [run["id"] for run in best["used_by"]] == [evaluation]
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
