"""What a wheel holds and what installing it pulls in."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
import scripts


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build a wheel of the tracked files, as pip does for a person."""
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
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source],
        check=True,
    )
    (path,) = folder.glob("airgap_tracker-*.whl")
    return zipfile.ZipFile(path)


def test_it_holds_the_dashboard_and_not_its_source(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "server/static/index.html" in names
    page = wheel.read("server/static/index.html").decode()
    scripts_named = re.findall(r'src="(/assets/[^"]+\.js)"', page)
    assert scripts_named
    assert all(f"server/static{name}" in names for name in scripts_named)
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert not [name for name in names if name.startswith(("server/web", "tests", "benchmarks"))]
    assert "tracker/store/migrations/versions/v0001_first_catalog.py" in names
    assert "tracker/py.typed" in names
    assert "tracker/door/site/wandb/__init__.py" in names
    assert "tracker/door/site/wandb-0.31.0.dist-info/METADATA" in names
    assert "tracker/door/site/wandb-0.31.0.dist-info/entry_points.txt" in names
    assert wheel.getinfo("tracker/door/bin/wandb").external_attr >> 16 & 0o111 == 0o111


def test_a_plain_install_pulls_neither_the_server_nor_torch(wheel: zipfile.ZipFile) -> None:
    (metadata,) = [name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
    required = Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist") or []
    plain = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in required if "extra ==" not in line}
    assert plain == {"msgspec", "sqlalchemy", "alembic", "pyarrow", "numpy"}
    extras = {line for line in required if "extra ==" in line}
    assert any(line.startswith("fastapi") and "server" in line for line in extras)
    assert any(line.startswith("torch") and "lightning" in line for line in extras)
