"""Tests of the package as users install it: its wheel, and the first steps on every supported Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest
import scripts
from wheels import build_wheel, install

pytestmark = pytest.mark.package

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
JOURNEY = Path(__file__).with_name("journey.py")
OFFLINE_JOURNEY = Path(__file__).with_name("offline_journey.py")
# The environment of a wheel must contain nothing of this checkout or this interpreter.
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def find_python(version: str) -> str | None:
    """Return an interpreter of a version, from PATH or from pyenv."""
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
    """Build a wheel of the tracked files, as pip does for users."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=scripts.ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        path = scripts.ROOT / name
        if name and path.is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(path.stat().st_mode)
    return build_wheel(source, folder)


@pytest.fixture
def content(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as opened:
        yield opened


def test_wheel_contains_the_dashboard_but_not_its_source(content: zipfile.ZipFile) -> None:
    names = content.namelist()
    built = ("index.html", "reference.html", "swagger-ui-notices.txt")
    assert {f"server/static/{name}" for name in built} <= {*names}
    page = content.read("server/static/index.html").decode()
    scripts_named = re.findall(r'src="\.(/assets/[^"]+\.js)"', page)
    assert scripts_named
    assert all(f"server/static{name}" in names for name in scripts_named)
    assert not re.search(r'(src|href)="(https?:)?//', page)
    notices = content.read("server/static/third-party-licenses.md").decode()
    assert all(
        re.search(rf"^## {name} ", notices, re.MULTILINE) for name in ("svelte", "swagger-ui-dist", "uplot")
    ), notices
    assert not [name for name in names if name.startswith(("server/web", "tests", "benchmarks"))]
    assert "tracker/store/catalog/migrations/versions/v0001_first_catalog.py" in names
    assert "tracker/py.typed" in names
    assert {"airgap_tracker.py", "airgap_tracker_start.py", "tracker/door/site/wandb/__init__.py"} <= {*names}
    assert "tracker/door/site/wandb-0.31.0.dist-info/METADATA" in names
    assert "tracker/door/site/wandb-0.31.0.dist-info/entry_points.txt" in names
    assert content.getinfo("tracker/door/bin/wandb").external_attr >> 16 & 0o111 == 0o111


def test_plain_install_requires_neither_the_server_nor_torch(content: zipfile.ZipFile) -> None:
    (metadata,) = [name for name in content.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
    required = Parser().parsestr(content.read(metadata).decode()).get_all("Requires-Dist") or []
    plain = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in required if "extra ==" not in line}
    assert plain == {"msgspec", "sqlalchemy", "alembic", "pyarrow", "numpy"}
    extras = {line for line in required if "extra ==" in line}
    assert any(line.startswith("fastapi") and "server" in line for line in extras)
    assert any(line.startswith("torch") and "lightning" in line for line in extras)


@pytest.mark.parametrize("version", VERSIONS)
def test_first_steps_of_a_new_user(version: str, wheel: Path, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None and "CI" not in os.environ:
        pytest.skip(f"Python {version} is not installed")
    assert python is not None, f"Python {version} is not installed"
    succeed(python, "-m", "venv", "venv", cwd=tmp_path)
    installed = tmp_path / "venv" / "bin" / "python"
    constraints = scripts.ROOT / "constraints-dev.txt"
    succeed(installed, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[server]", cwd=tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    assert f"works on {version}." in succeed(installed, JOURNEY, cwd=work)


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the installed package for this Python, with an image of a stand-in for docker; unpack the archive.

    The package is installed, so the command packs its wheel again from its files.
    """
    folder = tmp_path_factory.mktemp("airgap")
    installation = install(wheel, folder / "venv")
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\n[ "$1" != save ] || echo "the image $2"\n')
    docker.chmod(0o755)
    environment = installation.environment(
        PATH=f"{docker.parent}{os.pathsep}{os.environ['PATH']}",
        PIP_CONSTRAINT=str(scripts.ROOT / "constraints-dev.txt"),
    )
    command = [Path(installation.python).with_name("tracker"), "airgap", "pack", "-o", folder / "packed.tar"]
    command += ["--extras", "server", "--image", "tag", "--docs", scripts.ROOT / "docs"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    with tarfile.open(folder / "packed.tar") as archive:
        archive.extractall(folder / "there", filter="data")
    (root,) = (folder / "there").iterdir()
    return root


def run_without_a_route(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a network namespace whose only interface is loopback."""
    namespace = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--net"]
    loopback = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    # Settings of this machine must have no effect on the installer.
    environment |= {"PIP_CONSTRAINT": "/nowhere", "PIP_INDEX_URL": "http://127.0.0.1:9/", "HOME": str(folder)}
    return subprocess.run(
        [*namespace, *loopback, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_an_archive_installs_without_a_route_out(unpacked: Path, tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\n[ "$1 $2" = "load --input" ] && gunzip -c "$3" >loaded\n')
    docker.chmod(0o755)
    path = f"PATH={docker.parent}:{os.environ['PATH']}"
    command = [
        "env",
        path,
        "sh",
        unpacked / "install.sh",
        "--venv",
        "new",
        "--python",
        sys.executable,
        "--image",
    ]
    done = run_without_a_route(command, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (unpacked / "loaded").read_text() == "the image tag\n"
    python = tmp_path / "new" / "bin" / "python"
    assert f"{python.with_name('tracker')} --version" in done.stdout
    assert (unpacked / "docs" / "index.html").is_file()

    done = run_without_a_route([python, OFFLINE_JOURNEY], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("everything works without a route\n")

    # A second installation into the same environment replaces the package.
    (changed,) = tmp_path.glob("new/lib/python3*/site-packages/tracker/version.py")
    changed.write_text("damaged")
    done = run_without_a_route(["sh", unpacked / "install.sh", "--python", python, "--extras", ""], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "__version__" in changed.read_text()


def test_a_damaged_archive_is_refused_before_anything_is_installed(unpacked: Path, tmp_path: Path) -> None:
    (wheel,) = unpacked.glob("wheels/airgap_tracker-*.whl")
    whole = wheel.read_bytes()
    try:
        wheel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        done = run_without_a_route(["sh", unpacked / "install.sh", "--venv", "new"], tmp_path)
    finally:
        wheel.write_bytes(whole)
    assert done.returncode == 1
    assert f"wheels/{wheel.name}: FAILED" in done.stderr
    assert not (tmp_path / "new").exists()
