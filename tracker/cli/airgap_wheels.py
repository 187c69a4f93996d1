"""Wheels for a machine without a network: the one of this tracker, and those that it requires."""

from __future__ import annotations

import base64
import hashlib
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import tracker
from tracker.errors import Error, UsageError

PACKAGE = "airgap-tracker"
# The wheels run with this version of glibc and newer ones. pyarrow has no wheels for older ones.
GLIBC = (2, 28)
# The cluster has its own torch, which fits its accelerators. The archive leaves it alone.
_TORCH = {"torch", "lightning", "pytorch-lightning"}
# pip writes these files when it installs a wheel.
_BY_INSTALLER = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def checkout() -> Path | None:
    """Return the source checkout that this module belongs to; None for an installed package."""
    folder = Path(tracker.__file__).parents[1]
    return folder if (folder / "hatch_build.py").is_file() else None


def check_pip() -> None:
    """Raise UsageError if this Python has no pip."""
    if find_spec("pip") is None:
        raise UsageError(f"{sys.executable} has no pip. Install it: {sys.executable} -m ensurepip")


def make_own_wheel(folder: Path) -> Path:
    """Write the wheel of the running tracker, and return its path.

    pip builds it from a source checkout. An installed package is packed again from its files, because the
    version may be in no registry.
    """
    if (source := checkout()) is not None:
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
        (wheel,) = folder.glob("*.whl")
        return wheel
    try:
        return pack_installed(distribution(PACKAGE), folder)
    except PackageNotFoundError:
        raise Error(f"{PACKAGE} is not installed in {sys.executable}, so its wheel cannot be made.") from None


def pack_installed(installed: Distribution, folder: Path) -> Path:
    """Write the wheel of an installed distribution, and return its path.

    Args:
        installed: The distribution, which pip has installed from a wheel.
        folder: Folder for the wheel.

    Raises:
        Error: A file is missing or differs from its checksum in the distribution.
    """
    tag = Parser().parsestr(installed.read_text("WHEEL") or "")["Tag"]
    path = folder / f"{PACKAGE.replace('-', '_')}-{installed.version}-{tag}.whl"
    record, name_of_record = "", ""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in installed.files or ():
            if file.match("*.dist-info/RECORD"):
                name_of_record = str(file)
            # Commands are outside the folder of packages. Their wrappers are made again at each installation.
            if file.parts[0] == ".." or file.suffix == ".pyc":
                continue
            if file.match("*.dist-info/*") and file.name in _BY_INSTALLER and len(file.parts) == 2:
                continue
            place = Path(str(file.locate()))
            data = place.read_bytes() if place.is_file() else b""
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            if file.hash is None or (file.hash.mode, file.hash.value) != ("sha256", digest):
                raise Error(f"{place} was changed after its installation. Install {PACKAGE} again.")
            info = zipfile.ZipInfo.from_file(place, str(file), strict_timestamps=False)
            wheel.writestr(info, data, zipfile.ZIP_DEFLATED)
            record += f"{file},sha256={digest},{len(data)}\n"
        wheel.writestr(name_of_record, f"{record}{name_of_record},,\n")
    return path


def check_extras(wheel: Path, extras: Sequence[str]) -> None:
    """Raise UsageError for an extra that the wheel does not have, or that requires torch."""
    package = _Package.read(wheel)
    known = package.metadata.get_all("Provides-Extra") or []
    with_torch = [each for each in known if _TORCH & {need.name for need in package.needs({each})}]
    usable = ", ".join(each for each in known if each not in with_torch)
    for extra in extras:
        if extra in with_torch:
            raise UsageError(
                f"The extra {extra} requires torch, which the archive does not contain. Install torch and "
                f"lightning there from the wheels of your cluster. Extras: {usable}."
            )
        if extra not in known:
            raise UsageError(f"{PACKAGE} has no extra {extra!r}. Extras: {usable}.")


def download(wheel: Path, extras: Sequence[str], version: str, folder: Path) -> None:
    """Download what the wheel requires, and pip, as wheels for one version of Python.

    ``pip download`` chooses wheels for another version of Python, but evaluates the markers of requirements
    for its own. The missing requirements are therefore found here, until none is missing.

    Args:
        wheel: The wheel of tracker.
        extras: Its extras.
        version: The version of Python, such as ``3.11``.
        folder: Folder for the wheels.
    """
    root = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    wanted = [root, "pip"]
    # pip downloads to an existing folder only what the folder lacks.
    while True:
        _pip(
            "download",
            *("--dest", str(folder), "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={version}", *(f"--platform={each}" for each in platforms())),
            *wanted,
        )
        missing = sorted(set(_missing(folder, extras, version)) - {*wanted})
        if not missing:
            return
        wanted += missing


def platforms() -> Iterator[str]:
    """Yield the platform tags of wheels that run on this kind of machine with glibc ``GLIBC``."""
    machine = platform.machine()
    major, newest = GLIBC
    yield from (f"manylinux_{major}_{minor}_{machine}" for minor in range(newest, 4, -1))
    yield from (f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux"))


@dataclass(frozen=True)
class _Need:
    """A requirement without its marker."""

    name: str
    extras: frozenset[str]
    text: str


@dataclass(frozen=True)
class _Package:
    metadata: Message

    @classmethod
    def read(cls, wheel: Path) -> _Package:
        with zipfile.ZipFile(wheel) as content:
            (name,) = [
                each for each in content.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each)
            ]
            return cls(Parser().parsestr(content.read(name).decode()))

    def needs(self, extras: set[str] | frozenset[str], version: str = "") -> Iterator[_Need]:
        """Yield what the package requires with these extras, on a version of Python (default: this one)."""
        # pip's own parser: the package `packaging` is not a dependency.
        from pip._vendor.packaging.requirements import Requirement

        # Markers can name the patch version, which is unknown: require what any of them requires.
        targets: list[dict[str, str]] = [{}]
        if version:
            full = (f"{version}.0", f"{version}.99")
            targets = [{"python_version": version, "python_full_version": each} for each in full]
        for line in self.metadata.get_all("Requires-Dist") or ():
            need = Requirement(line)
            environments = [{**target, "extra": extra} for target in targets for extra in ("", *extras)]
            if need.marker is None or any(map(need.marker.evaluate, environments)):
                need.marker = None
                yield _Need(_canonical(need.name), frozenset(need.extras), str(need))


def _missing(folder: Path, extras: Sequence[str], version: str) -> Iterator[str]:
    """Yield the requirements of tracker and of all that it requires for which the folder has no wheel."""
    packages = {_canonical(each.name.partition("-")[0]): _Package.read(each) for each in folder.glob("*.whl")}
    open_needs = [_Need(PACKAGE, frozenset(extras), PACKAGE)]
    seen = set()
    while open_needs:
        need = open_needs.pop()
        if need in seen:
            continue
        seen.add(need)
        if need.name in packages:
            open_needs += packages[need.name].needs(need.extras, version)
        else:
            yield need.text


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(command: str, *arguments: str) -> None:
    """Run pip with the settings of this machine: mirrors, proxies, certificates, constraints."""
    words = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines
        raise Error(f"pip {command} failed: {errors[-1].strip()}")
