"""Wheels of this version and of the previous one, and environments with one of them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import scripts

# The previous version: the wheel that users have. After each release, set this to the commit of its tag.
# Before the first release, set it to the last commit before a change to sent or stored data (records,
# published files, catalog, REST API). This commit is the last one without API keys on loopback and checksums
# of parts.
VERSION_BEFORE = "488d61936fa69842c60d53313749b082f9e945f3"


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree into ``folder``, as pip does for users; return its path."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source]
    subprocess.run(command, check=True)
    (path,) = folder.glob("airgap_tracker-*.whl")
    return path


def checkout(commit: str, folder: Path) -> None:
    """Write the files of a commit to ``folder``; fail if this clone does not contain the commit."""
    archive = subprocess.run(["git", "archive", commit], cwd=scripts.ROOT, capture_output=True)
    if archive.returncode:
        pytest.fail(
            f"Commit {commit} is not in this clone, so the previous version cannot be built. Fetch the whole "
            f"history: git fetch --unshallow. git: {archive.stderr.decode().strip()}",
            pytrace=False,
        )
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)


def install(wheel: Path, folder: Path) -> scripts.Installation:
    """Install a wheel in its own environment. Other packages come from this interpreter."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True)
    # Use a path in a .pth file: other .pth files in that folder, such as editable installs, have no effect.
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    return scripts.Installation(str(python))
