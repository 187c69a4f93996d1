"""The package on every Python that it supports: installed as a user does, then used for a short journey."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

pytestmark = pytest.mark.pythons

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
JOURNEY = Path(__file__).with_name("journey.py")
# A wheel's own environment: nothing of this checkout, nothing of this interpreter.
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def find_python(version: str) -> str | None:
    """Return an interpreter of a version: one on PATH, or one that pyenv keeps."""
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += map(str, sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True))
    for each in filter(None, candidates):
        code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([each, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return each
    return None


def succeed(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built once for all of them."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([*pip, scripts.ROOT], check=True)
    (path,) = folder.glob("airgap_tracker-*.whl")
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_users_journey(version: str, wheel: Path, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None and "CI" not in os.environ:
        pytest.skip(f"no Python {version} here")
    assert python is not None, f"no Python {version} here"
    succeed(python, "-m", "venv", "venv", cwd=tmp_path)
    installed = tmp_path / "venv" / "bin" / "python"
    constraints = scripts.ROOT / "constraints-dev.txt"
    succeed(installed, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[server]", cwd=tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    assert f"works on {version}." in succeed(installed, JOURNEY, cwd=work)
