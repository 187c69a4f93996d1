"""Runs scripts of the corpus against the client that this interpreter has, and writes down what it recorded.

    python -m differential.runner wandb|tracker FOLDER [AREA/NAME ...]

Tracker's side is started by ``tracker run``, so that ``import wandb`` is tracker there.

Client and helpers are imported once; then each script has a forked process, a folder, a home and an
environment of its own, and ends as any interpreter ends. What each saw is in FOLDER/AREA/NAME/seen.json, the
outcomes of all, in normal form, in FOLDER/outcomes.json.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from differential.script import Script, Seen, load_corpus

AT_ONCE = 2
SECONDS = 120
# Imported by scripts: once here, not once in each of them.
_HELPERS = ("numpy", "PIL.Image", "pandas", "matplotlib.pyplot", "torch")
_PARTS = {
    "wandb": ("wandb", "wandb.apis.public", "wandb.sdk.launch", "wandb.plot", "wandb.data_types"),
    "tracker": (
        "wandb",
        "tracker.ground.fast_import",
        "tracker.sdk.start.init",
        "tracker.sdk.run.log",
        "tracker.sdk.run.media",
        "tracker.capture.facts",
        "tracker.artifacts.artifact",
        "tracker.data_types.image",
        "tracker.data_types.table",
        "tracker.plot",
    ),
}


def main(side: str, folder: Path, wanted: list[str]) -> None:
    """Run the scripts and write their outcomes."""
    for helper in (*_PARTS[side], *_HELPERS):
        with suppress(ImportError):
            importlib.import_module(helper)
    corpus = load_corpus()
    scripts = [corpus[key] for key in wanted or corpus]
    gc.freeze()  # or each child, when it ends, takes apart all that was imported: most of its time
    child = _run_all(side, folder, scripts)
    if child is not None:
        child()  # in the child: what the script raises ends this interpreter, as it would the user's
        return
    collect = importlib.import_module(f"differential.outcomes.of_{side}").collect
    outcomes = {}
    for script in scripts:
        place = folder / script.key
        seen = place / "seen.json"
        outcomes[script.key] = {
            "exit": int((place / "exit").read_text()),
            "seen": json.loads(seen.read_text()) if seen.exists() else "<not written>",
            **collect(folder, place),
        }
    (folder / "outcomes.json").write_text(json.dumps(outcomes))


def _run_all(side: str, folder: Path, scripts: list[Script]) -> Callable[[], None] | None:
    """Fork a process for each script; return what is to be done to the child, None to the parent."""
    waiting, running = list(scripts)[::-1], {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            script = waiting.pop()
            place = folder / script.key
            place.mkdir(parents=True)
            pid = os.fork()
            if pid == 0:
                return lambda: _be_script(side, folder, place, script)
            running[pid] = (place, time.monotonic() + SECONDS)
        for pid, (place, end) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                (place / "exit").write_text(str(os.waitstatus_to_exitcode(status)))
                del running[pid]
            elif time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    return None


def _be_script(side: str, folder: Path, place: Path, script: Script) -> None:
    """Become the script's process: own folder, home, environment and output."""
    work = place / "work"
    for made in (work, place / "home"):
        made.mkdir()
    os.chdir(work)
    for name in [name for name in os.environ if name.startswith(("WANDB_", "TRACKER_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(place / "home"), "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    os.environ["WANDB_CACHE_DIR"] = os.environ["WANDB_DATA_DIR"] = str(place / "home")
    # What is captured without code is not compared, and costs the real client seconds.
    os.environ |= {
        "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_SAVE_REQUIREMENTS": "false",
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_GIT": "true",
        "MPLBACKEND": "Agg",
    }
    if side == "wandb":
        # Made when wandb is imported, and removed by the first child that ends: each needs its own.
        from wandb.sdk.data_types._private import MEDIA_TMP

        MEDIA_TMP._finalizer.detach()
        MEDIA_TMP.name = tempfile.mkdtemp("wandb-media")
    if side == "tracker":
        # One store for all, so that one recorder serves them; an entity each keeps them apart.
        os.environ |= {"TRACKER_STORE": str(folder / "store"), "WANDB_ENTITY": entity_of(script.key)}
    sys.argv = [str(work / "train.py")]
    for stream, name in ((1, "out"), (2, "err")):
        target = os.open(place / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, stream)
    seen = Seen()
    try:
        script.main(seen)
    finally:
        (place / "seen.json").write_text(json.dumps(seen.values))


def entity_of(key: str) -> str:
    """Return the entity whose runs are a script's."""
    return "of-" + key.replace("/", "-").replace("_", "-")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute(), sys.argv[3:])
