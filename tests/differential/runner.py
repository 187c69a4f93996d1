"""The runner of corpus scripts with the client of this interpreter. It writes the outcomes to a file.

    python -m differential.runner wandb|server|tracker FOLDER [AREA/NAME ...]

For tracker, start it with ``tracker run``, so that ``import wandb`` imports tracker. ``server`` is the real
client that logs to the server of ``WANDB_BASE_URL``. Its runs are in the store of the server, so that their
outcomes are not among those that the runner writes.

The client and helper packages are imported once. Then each script runs in a forked process with its own
folder, home and environment, and ends as an interpreter ends. The observations of each script are written to
FOLDER/AREA/NAME/seen.json, and all outcomes in normal form to FOLDER/outcomes.json.
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

from differential.script import Script, Seen, entity_of, load_corpus

PARALLEL_SCRIPTS = 2
SECONDS = 120
# Packages that scripts use. The parent imports them once, so that the forked scripts need not.
_HELPERS = ("numpy", "PIL.Image", "pandas", "matplotlib.pyplot", "torch")
_REAL = ("wandb", "wandb.apis.public", "wandb.sdk.launch", "wandb.plot", "wandb.data_types")
_PARTS = {
    "wandb": _REAL,
    "server": _REAL,
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
    gc.freeze()  # otherwise each child spends most of its time on freeing imported objects at its end
    child = _run_all(side, folder, scripts)
    if child is not None:
        child()  # in the child: an error of the script ends this interpreter, as it ends that of a user
        return
    collect = None
    if side != "server":
        collect = importlib.import_module(f"differential.outcomes.of_{side}").collect
    outcomes = {}
    for script in scripts:
        place = folder / script.key
        seen = place / "seen.json"
        outcomes[script.key] = {
            "exit": int((place / "exit").read_text()),
            "seen": json.loads(seen.read_text()) if seen.exists() else "<not written>",
            **(collect(folder, script.key) if collect else {}),
        }
    (folder / "outcomes.json").write_text(json.dumps(outcomes))


def _run_all(side: str, folder: Path, scripts: list[Script]) -> Callable[[], None] | None:
    """Fork a process for each script. Return the function that the child must call; None in the parent."""
    waiting, running = list(scripts)[::-1], {}
    while waiting or running:
        while waiting and len(running) < PARALLEL_SCRIPTS:
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
    """Set up the folder, home, environment and output of this process, and run the script."""
    work = place / "work"
    for made in (work, place / "home"):
        made.mkdir()
    os.chdir(work)
    address = {name: os.environ[name] for name in ("WANDB_BASE_URL", "WANDB_API_KEY") if side == "server"}
    for name in [name for name in os.environ if name.startswith(("WANDB_", "TRACKER_"))]:
        del os.environ[name]
    mode = "online" if side == "server" else "offline"
    os.environ |= {"HOME": str(place / "home"), "WANDB_MODE": mode, "WANDB_SILENT": "true", **address}
    os.environ["WANDB_CACHE_DIR"] = os.environ["WANDB_DATA_DIR"] = str(place / "home")
    # Automatic capture is not compared, and takes seconds in the real client.
    os.environ |= {
        "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_SAVE_REQUIREMENTS": "false",
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_GIT": "true",
        "MPLBACKEND": "Agg",
    }
    if side != "tracker":
        # wandb creates this folder at import, and the first child that ends removes it: each needs its own.
        from wandb.sdk.data_types._private import MEDIA_TMP

        MEDIA_TMP._finalizer.detach()
        MEDIA_TMP.name = tempfile.mkdtemp("wandb-media")
    if side != "wandb":
        # All scripts share one store, so that one recorder or server serves them. Separate entities keep
        # them apart.
        os.environ |= {"WANDB_ENTITY": entity_of(script.key)}
    if side == "tracker":
        os.environ |= {"TRACKER_STORE": str(folder / "store")}
    sys.argv = [str(work / "train.py")]
    for stream, name in ((1, "out"), (2, "err")):
        target = os.open(place / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, stream)
    seen = Seen()
    try:
        script.main(seen)
    finally:
        (place / "seen.json").write_text(json.dumps(seen.values))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute(), sys.argv[3:])
