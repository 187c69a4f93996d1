"""Functions that start the runner in the interpreter of either client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from serving import serving

ROOT = Path(__file__).resolve().parents[2]
_PYTHON = "TRACKER_WANDB_PYTHON"
# Read at import, because tests run without such variables.
_GIVEN = os.environ.get(_PYTHON)


def real_python() -> str:
    """Return the interpreter that has the real client.

    Raises:
        FileNotFoundError: There is no such interpreter. The message names a solution.
    """
    python = _GIVEN or str(ROOT / ".venv-differential" / "bin" / "python")
    if not Path(python).exists():
        raise FileNotFoundError(
            f"There is no interpreter with the real wandb client at {python}. Create it with "
            f"`python3 dev.py test -m differential`, or set {_PYTHON} to the path of another one."
        )
    return python


def outcomes_of_wandb(folder: Path) -> dict[str, Any]:
    """Run the corpus with the real client in ``folder`` and return the outcomes by script."""
    return _run([real_python()], "wandb", folder, [ROOT / "tests"])


def surface_of_wandb() -> dict[str, Any]:
    """Return the public names of the real client; see ``surface``."""
    command = [real_python(), "-m", "differential.surface", "wandb"]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def outcomes_of_tracker(folder: Path, wanted: Iterable[str] = ()) -> dict[str, Any]:
    """Run the corpus with tracker in ``folder`` and return the outcomes by script.

    Args:
        folder: An empty folder.
        wanted: Scripts to run. All by default.
    """
    door = [sys.executable, "-m", "tracker.cli.main", "run", sys.executable]
    return _run(door, "tracker", folder, [ROOT / "tests", ROOT], wanted)


def outcomes_of_server(folder: Path, wanted: Iterable[str] = ()) -> dict[str, Any]:
    """Run the corpus with the real client and a server in ``folder``, and return the outcomes by script.

    Args:
        folder: An empty folder.
        wanted: Scripts to run. All by default.
    """
    from differential.outcomes import of_tracker

    with serving(folder / "store", key=True) as server:
        address = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key or ""}
        outcomes = _run([real_python()], "server", folder, [ROOT / "tests"], wanted, **address)
        return {key: outcome | of_tracker.collect(folder, key) for key, outcome in outcomes.items()}


def _run(
    python: list[str],
    side: str,
    folder: Path,
    path: list[Path],
    wanted: Iterable[str] = (),
    **address: str,
) -> dict[str, Any]:
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "TRACKER_"))
    }
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables |= {"PYTHONPATH": os.pathsep.join(map(str, path)), **address}
    done = subprocess.run(
        [*python, "-m", "differential.runner", side, str(folder), *wanted],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise AssertionError(f"The runner failed:\n{done.stdout}\n{done.stderr}")
    outcomes: dict[str, Any] = json.loads((folder / "outcomes.json").read_text())
    return outcomes
