"""Names of wandb that released packages use. ``used_names.tsv`` lists whether tracker supports each name.

The names come from the source of about 90 wheels of the package index whose code mentions wandb.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scripts

import tracker
from tracker import env, util
from tracker.door.printer import new_printer
from tracker.errors import UnsupportedError, UsageError
from tracker.sdk.torch.profiler import torch_trace_handler

LINES = [line.split("\t") for line in (Path(__file__).parent / "used_names.tsv").read_text().splitlines()]
NAMES = {name: state for name, state, _ in LINES}
UNSUPPORTED = r"is not supported|tracker lacks it"
# Names that exist only in a program with an active run.
LIVE = ("run", "config", "summary")


def find(module: Any, name: str) -> Any:
    """Return the object of a wandb name in ``module``, as ``from ... import`` finds it."""
    value, path = module, module.__name__
    for part in name.split(".")[1:]:
        path += "." + part
        try:
            value = getattr(value, part)
        except AttributeError as error:
            try:
                value = import_module(path)
            except ModuleNotFoundError as missing:
                raise missing if "not supported" in str(missing) else error from None
    return value


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_a_package_uses(name: str) -> None:
    if name.split(".")[1] in LIVE:
        assert hasattr(tracker, name.split(".")[1])
    elif NAMES[name] == "same":
        find(tracker, name)
    else:
        assert NAMES[name] == "unsupported"
        with pytest.raises((AttributeError, ImportError, UnsupportedError), match=UNSUPPORTED):
            find(tracker, name)


def test_both_imports_give_the_same_results(tmp_path: Path) -> None:
    code = f"""
import json, wandb
from importlib import import_module
from typing import Any
{inspect.getsource(find)}
found = {{}}
for name in {sorted(name for name in NAMES if name.split(".")[1] not in LIVE)!r}:
    try:
        find(wandb, name)
        found[name] = "same"
    except Exception as error:
        text = str(error)
        found[name] = "unsupported" if "is not supported" in text or "lacks it" in text else text
print(json.dumps(found))
"""
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", "run", sys.executable, "script.py"],
        cwd=tmp_path,
        env=scripts.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {name: NAMES[name] for name in found}


def test_the_page_names_all_unsupported_parts() -> None:
    page = (scripts.ROOT / "docs" / "wandb-scripts.md").read_text()
    named = set(re.findall(r"`(wandb\.[\w.]+)`", page))
    for name, state in NAMES.items():
        if state == "unsupported":
            assert any(name == each or name.startswith(f"{each}.") for each in named), name


def test_the_key_and_the_entity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    api = import_module("tracker.api")
    assert api.api_key == "local"  # not empty: libraries check whether a user is logged in
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    assert api.api_key is None
    monkeypatch.delenv("WANDB_BASE_URL")
    monkeypatch.setenv("WANDB_API_KEY", "local-" + "a" * 40)
    env.set_entity("team")
    env.set_project("digits")
    assert api.api_key == "local-" + "a" * 40
    assert (api.default_entity, api.settings("project"), api.viewer()["entity"]) == ("team", "digits", "team")
    assert (env.get_entity(), env.get_project(), env.get_run("none")) == ("team", "digits", "none")
    other: dict[str, str] = {}
    env.set_project("", other)
    assert other == {"WANDB_PROJECT": "uncategorized"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = api.nothing


def test_small_helpers(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"array": np.arange(3), "set": {1}, "number": np.float32(0.5), "object": Path("a")}
    assert json.loads(util.json_dumps_safer(values)) == {
        "array": [0, 1, 2],
        "set": [1],
        "number": 0.5,
        "object": "a",
    }
    assert util.to_forward_slash_path("a/b") == "a/b"
    config = tracker.Config()
    config.update({"a": 1})
    assert dict(config) == {"a": 1}
    new_printer().display("a line")
    assert "a line" in capsys.readouterr().err
    with tracker.init(project="p") as run:
        tracker.pin_config_keys(["lr"])
    assert tracker.Api().run(run.path).state == "finished"


def test_traces_of_the_profiler_are_files_of_the_run() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(UsageError, match=r"call `wandb.init\(\)` before"):
        torch_trace_handler()
    with tracker.init(project="p") as run:
        handler = torch_trace_handler()
        with torch.profiler.profile(on_trace_ready=handler) as profile:
            torch.ones(3).sum()
            profile.step()
    names = [file.name for file in tracker.Api().run(run.path).files()]
    assert [name for name in names if re.fullmatch(r"pytorch_traces/.*\.pt\.trace\.json", name)], names
