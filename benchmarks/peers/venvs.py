"""One virtual environment per peer: creating and finding them, and running a peer's script in one."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.measuring import Options, Used, metered, run_script

# The versions for which the targets were set.
REQUIREMENTS: dict[str, list[str]] = {
    "wandb": ["wandb==0.31.0"],
    "trackio": ["trackio==0.43.0"],
    "mlflow": ["mlflow==3.17.2"],
    "tensorboard": ["tensorboard==2.21.0", "torch==2.13.0"],
    "aim": ["aim==3.29.1"],
}
DISTRIBUTIONS = ("wandb", "trackio", "mlflow", "tensorboard", "torch", "aim")
_VERSIONS = (
    "import importlib.metadata as m, json, sys\n"
    "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
    "print(json.dumps({name: found[name] for name in sys.argv[1:] if name in found}))"
)


def make(folder: Path) -> bool:
    """Make the missing environments; return whether all exist. A failure does not stop the others."""
    complete = True
    for name, requirements in REQUIREMENTS.items():
        if _python(folder, name).is_file() and _installed(folder, name):
            print(f"{name}: already installed")
            continue
        venv.create(folder / name, with_pip=True, clear=True)
        done = subprocess.run([str(_python(folder, name)), "-m", "pip", "install", "--quiet", *requirements])
        print(f"{name}: {'installed' if done.returncode == 0 else 'installation failed'}")
        complete = complete and done.returncode == 0
    return complete


def present(options: Options) -> dict[str, dict[str, str]]:
    """Return the installed peers, each with its versions."""
    if options.peers is None:
        return {}
    found = {name: _installed(options.peers, name) for name in REQUIREMENTS}
    return {name: versions for name, versions in found.items() if versions}


def peer_metered(
    options: Options, name: str, command: str, folder: Path, *arguments: object, **variables: str
) -> Used:
    """Run a command of a peer's script in the peer's environment, and count its resources."""
    return metered(_command(options, name, command, folder, arguments), folder, **variables)


def peer_answer(
    options: Options, name: str, command: str, folder: Path, *arguments: object
) -> dict[str, Any]:
    """Run a command of a peer's script without counting; return its answer."""
    return run_script(_command(options, name, command, folder, arguments), folder)


def _command(
    options: Options, name: str, command: str, folder: Path, arguments: tuple[object, ...]
) -> list[str]:
    assert options.peers is not None
    script = [str(_python(options.peers, name)), "-m", "benchmarks.peers.script"]
    return [*script, name, command, str(folder), *map(str, arguments)]


def _python(folder: Path, name: str) -> Path:
    # The path is absolute but not resolved: the symbolic link makes it the interpreter of the environment.
    return Path.cwd() / folder / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def _installed(folder: Path, name: str) -> dict[str, str]:
    """Return the versions in an environment; empty unless the peer itself is installed."""
    python = _python(folder, name)
    if not python.is_file():
        return {}
    done = subprocess.run([str(python), "-c", _VERSIONS, *DISTRIBUTIONS], capture_output=True, text=True)
    versions: dict[str, str] = json.loads(done.stdout) if done.returncode == 0 else {}
    return versions if name in versions else {}
