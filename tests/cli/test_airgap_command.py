"""Tests of ``tracker airgap pack`` without downloads: messages, requirements, MANIFEST, checks of install.sh.

``tests/package/test_package.py`` packs and installs a whole archive.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from serving import command

from tracker.cli import airgap_archive, airgap_wheels
from tracker.cli.main import make_parser
from tracker.errors import Error, UsageError


def write_wheel(folder: Path, name: str, metadata: str) -> Path:
    folder.mkdir(exist_ok=True)
    stem = f"{name.replace('-', '_')}-1.0"
    path = folder / f"{stem}-py3-none-any.whl"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{stem}.dist-info/METADATA", head + metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    return path


def own_wheel(folder: Path) -> Path:
    return write_wheel(
        folder,
        "airgap-tracker",
        "Requires-Dist: tomli; python_version < '3.11'\n"
        "Requires-Dist: late; python_full_version < '3.10.4'\n"
        "Requires-Dist: Fast.API[all]>=1; extra == 'server'\n"
        "Requires-Dist: torch; extra == 'lightning'\n"
        "Provides-Extra: server\n"
        "Provides-Extra: lightning\n",
    )


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("-o missing/x.tar", 1, "The folder .*/missing does not exist."),
        ("-o .", 1, r"is a folder. Name a file: -o .*/airgap-tracker.tar"),
        ("-o x.tar --python 3.9", 2, r"Invalid Python version '3.9'. Use 3.10 or newer, such as 3.10,3.12."),
        ("-o x.tar --python ,", 2, "No Python version given. Example: 3.10,3.12"),
        ("-o x.tar", 1, "No container engine: docker and podman are missing. Use --no-image."),
        ("-o x.tar --no-image --docs nowhere", 1, "The folder nowhere of --docs does not exist."),
        ("-o x.tar --image a --no-image", 2, "not allowed with argument"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, arguments: str, code: int, words: str) -> None:
    done = command("airgap", "pack", *arguments.split(), folder=tmp_path, PATH=str(tmp_path))
    assert done.returncode == code
    *_, last = done.stderr.splitlines()
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(last)
    assert not list(tmp_path.iterdir())


def test_an_image_that_the_engine_lacks_is_an_error(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "docker", "echo 'Error: No such image' >&2; exit 1")
    done = command("airgap", "pack", "-o", "x.tar", folder=tmp_path, PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "has no usable image airgap-tracker: Error: No such image. Build it" in done.stderr


def test_a_failure_keeps_the_old_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_text("old")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(airgap_wheels, "make_own_wheel", own_wheel)
    words = ["airgap", "pack", "-o", str(tmp_path / "x.tar"), "--no-image", "--no-docs", "--extras", "server"]
    with pytest.raises(Error, match=r"^pip download failed: No matching distribution found for "):
        airgap_archive.pack(make_parser().parse_args(words))
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]
    assert (tmp_path / "x.tar").read_text() == "old"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("lightning", r"The extra lightning requires torch, .* Extras: server\.$"),
        ("sever", r"airgap-tracker has no extra 'sever'. Extras: server\.$"),
    ],
)
def test_extras_that_cannot_be_packed(tmp_path: Path, extra: str, words: str) -> None:
    wheel = own_wheel(tmp_path)
    airgap_wheels.check_extras(wheel, ["server"])
    with pytest.raises(UsageError, match=words):
        airgap_wheels.check_extras(wheel, ["server", extra])


def test_requirements_are_those_of_the_named_python(tmp_path: Path) -> None:
    def missing(*of: object) -> set[str]:
        return {*airgap_wheels._missing(tmp_path, *of)}  # type: ignore[arg-type]

    own_wheel(tmp_path)
    assert missing([], "3.13") == set()
    assert missing([], "3.10") == {"tomli", "late"}
    assert missing(["server"], "3.13") == {"Fast.API[all]>=1"}
    # A requirement of a requirement, through an extra of it.
    write_wheel(
        tmp_path, "fast-api", "Requires-Dist: loop[x]; extra == 'all'\nRequires-Dist: no; extra == 'b'\n"
    )
    write_wheel(tmp_path, "loop", "Requires-Dist: fast_api\nRequires-Dist: end; python_version >= '3.12'\n")
    assert missing(["server"], "3.11") == set()
    assert missing(["server"], "3.13") == {"end"}


@pytest.mark.slow
def test_an_installed_package_is_packed_as_it_was(tmp_path: Path) -> None:
    source = tmp_path / "a" / "airgap_tracker-1.0-py3-none-any.whl"
    source.parent.mkdir()
    info = "airgap_tracker-1.0.dist-info"
    files = {
        "tracker/run.py": b"x = 1\n",
        "tracker/bin/wandb": b"#!/bin/sh\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: airgap-tracker\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\ntracker = tracker.run:main\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        for name, data in files.items()
    }
    record = [f"{name},sha256={digests[name]},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(source, "w") as wheel:
        for name, data in files.items():
            mode = 0o755 if "bin" in name else 0o644
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100000 | mode) << 16
            wheel.writestr(entry, data)
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(source)], check=True)
    (installed,) = Distribution.discover(name="airgap-tracker", path=[str(site)])

    path = airgap_wheels.pack_installed(installed, tmp_path)
    assert path.name == source.name
    with zipfile.ZipFile(path) as wheel:
        assert {*wheel.namelist()} == {*files}
        assert all(wheel.read(name) == data for name, data in files.items() if not name.endswith("RECORD"))
        assert wheel.getinfo("tracker/bin/wandb").external_attr >> 16 & 0o111
    # pip checks the names and the RECORD of the wheel.
    subprocess.run([*pip[:-1], str(tmp_path / "again"), str(path)], check=True)

    (site / "tracker" / "run.py").write_text("x = 2\n")
    with pytest.raises(Error, match=r"tracker/run.py was changed after its installation"):
        airgap_wheels.pack_installed(installed, tmp_path)


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Write an unpacked archive with two files in place of wheels."""
    (tmp_path / "wheels").mkdir()
    for name in ("a.whl", "b c.whl"):
        (tmp_path / "wheels" / name).write_text(name)
    options = argparse.Namespace(python=["3.10", "3.12"], extras=["server"], image=None)
    airgap_archive.write_installer(tmp_path, options)
    airgap_archive.write_manifest(tmp_path)
    return tmp_path


def install(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run install.sh from another folder."""
    return subprocess.run(
        ["sh", folder / "install.sh", *arguments], cwd="/", capture_output=True, text=True, timeout=60
    )


def test_the_manifest_names_each_file_with_its_size(unpacked: Path) -> None:
    *lines, total = (unpacked / "MANIFEST").read_text().splitlines()
    rows = [line.split(" ", 2) for line in lines]
    assert [name for _, _, name in rows] == ["README.txt", "install.sh", "wheels/a.whl", "wheels/b c.whl"]
    assert all(int(size) == (unpacked / name).stat().st_size for _, size, name in rows)
    assert all(len(digest) == 64 for digest in (total, *(row[0] for row in rows)))
    assert "@" not in (unpacked / "install.sh").read_text().replace('"$@"', "")
    done = install(unpacked, "--check")
    assert (done.returncode, done.stdout) == (0, "install.sh: The files are complete.\n")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: flip(folder / "wheels" / "b c.whl"), "wheels/b c.whl: FAILED"),
        (lambda folder: (folder / "wheels" / "a.whl").unlink(), "wheels/a.whl: FAILED open or read"),
        (lambda folder: flip(folder / "README.txt"), "README.txt: FAILED"),
        (lambda folder: flip(folder / "MANIFEST"), "MANIFEST is damaged."),
        (lambda folder: (folder / "MANIFEST").write_text(""), "MANIFEST is damaged."),
        (lambda folder: (folder / "MANIFEST").unlink(), "MANIFEST is missing."),
    ],
)
def test_the_installer_refuses_damaged_files(unpacked: Path, damage: object, words: str) -> None:
    damage(unpacked)  # type: ignore[operator]
    done = install(unpacked, "--venv", str(unpacked / "venv"))
    assert done.returncode == 1
    assert words in done.stderr
    assert "Copy the archive again." in done.stderr
    assert not (unpacked / "venv").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("", 2, "Choose where to install: --venv DIR, --python PYTHON"),
        ("--venv", 2, "Option --venv needs a value."),
        ("--prefix x", 2, "Unknown option '--prefix'."),
        ("--image", 1, "This archive contains no container image."),
        ("--python /nowhere/python", 1, "/nowhere/python cannot be started."),
        ("--venv /proc", 1, "/proc exists and is not an environment."),
        ("--venv new --python {old}", 1, "is Python 3.8, but the archive has wheels for Python 3.10 3.12."),
    ],
)
def test_the_installer_refuses_bad_input(unpacked: Path, arguments: str, code: int, words: str) -> None:
    program(unpacked / "bin" / "python", "echo 3.8")
    done = install(unpacked, *arguments.format(old=unpacked / "bin" / "python").split())
    assert (done.returncode, done.stderr.count("\n")) == (code, done.stderr.count("install.sh: ")), (
        done.stderr
    )
    assert words in done.stderr
