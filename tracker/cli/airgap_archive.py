"""The archive of ``tracker airgap pack``: wheels, image, documentation, MANIFEST and the installer."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tracker.cli import airgap_wheels
from tracker.cli.output import as_size
from tracker.errors import Error, UsageError
from tracker.store.objects.atomic_files import publish, sync_file
from tracker.version import __version__

_README = """\
tracker {version}, for machines without a network: Linux on {machine}, glibc {glibc} or newer.

  tar -xf FILE.tar
  sh airgap-tracker-{version}/install.sh --venv DIR      make a new environment in DIR, with python3
    --python PYTHON    another Python for the new environment. Without --venv: install into this Python's
                       own environment, such as one that already has torch. Its other packages stay as they
                       are, unless their version is too old
    --extras LIST      only these extras (default: {extras}); '' for a node that only trains
    --image            load the container image into docker or podman (alone, or with --venv)
    --check            only compare the files with MANIFEST

install.sh compares all files with MANIFEST (SHA-256, size and name of each file) before it installs anything.

wheels/         tracker and what it requires, for Python {pythons}. torch is not included: the environment
                that trains has its own
image.tar.gz    {image}
docs/           {docs}
"""


def pack(options: argparse.Namespace) -> None:
    """Make the archive that the options of ``tracker airgap pack`` describe."""
    output: Path = options.output.absolute()
    if output.is_dir():
        raise UsageError(f"{output} is a folder. Name a file: -o {output / 'airgap-tracker.tar'}")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist.")
    # Everything that can be wrong is checked before the downloads.
    airgap_wheels.check_pip()
    engine = find_engine(options.image) if options.image else None
    docs_source = _find_docs(options.docs) if options.docs is not None else None
    try:
        # In the folder of the archive, because /tmp may be too small.
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as work:
            root = Path(work) / f"airgap-tracker-{__version__}"
            root.mkdir()
            _gather_wheels(root / "wheels", Path(work), options.extras, options.python)
            if engine:
                print(f"Saving the image {options.image}", flush=True)
                path = root / "image.tar.gz"
                save_image(engine, options.image, path)
                print(f"The image is {as_size(path.stat().st_size)}, compressed", flush=True)
            if docs_source:
                print("Gathering the documentation", flush=True)
                _gather_docs(docs_source, root / "docs")
            write_installer(root, options)
            write_manifest(root)
            digest = _write_archive(root, Path(work) / "archive.tar", output)
    except OSError as problem:
        raise Error(f"{output} could not be written: {problem}") from problem
    print(f"{output}: {as_size(output.stat().st_size)}, SHA-256 {digest}")
    print(f"There: tar -xf {output.name} && sh {root.name}/install.sh --venv DIR")


def _gather_wheels(folder: Path, work: Path, extras: list[str], versions: list[str]) -> None:
    print("Making the wheel of tracker", flush=True)
    own = work / "own"
    own.mkdir()
    wheel = airgap_wheels.make_own_wheel(own)
    airgap_wheels.check_extras(wheel, extras)
    folder.mkdir()
    for version in versions:
        print(f"Downloading wheels for Python {version}", flush=True)
        found = work / version
        airgap_wheels.download(wheel, extras, version, found)
        for each in found.iterdir():
            each.replace(folder / each.name)


def find_engine(image: str) -> str:
    """Return the path of docker or podman, which must have the image."""
    engine = shutil.which("docker") or shutil.which("podman")
    if engine is None:
        raise UsageError("No container engine: docker and podman are missing. Use --no-image.")
    done = subprocess.run([engine, "image", "inspect", image], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["unknown reason"])[-1]
        raise UsageError(
            f"{engine} has no usable image {image}: {reason.rstrip('.')}. "
            f"Build it (docker build -t {image} .), or use --no-image."
        )
    return engine


def save_image(engine: str, image: str, path: Path) -> None:
    """Write an image to a compressed file, which ``docker load`` reads.

    Args:
        engine: Path of docker or podman.
        image: Name of the image.
        path: Path of the file.

    Raises:
        Error: The engine failed.
    """
    with subprocess.Popen([engine, "save", image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        with gzip.open(path, "wb", compresslevel=6) as compressed:
            shutil.copyfileobj(saving.stdout, compressed, 1 << 20)
    if saving.returncode:
        raise Error(f"{Path(engine).name} save {image} failed with exit status {saving.returncode}.")


def _find_docs(given: Path) -> Path:
    """Return the folder of the documentation; ``Path()`` means that of the source checkout."""
    if given == Path():
        source = airgap_wheels.checkout()
        if source is None or not (source / "docs").is_dir():
            raise UsageError(
                "The installed package has no documentation. Name a folder, such as --docs CHECKOUT/docs, "
                "or use --no-docs."
            )
        return source / "docs"
    if not given.is_dir():
        raise UsageError(f"The folder {given} of --docs does not exist.")
    return given


def _gather_docs(source: Path, folder: Path) -> None:
    """Build the site of the documentation if its sources and mkdocs are available, else copy the files."""
    configuration = source.parent / "mkdocs.yml"
    if configuration.is_file() and find_spec("mkdocs") and find_spec("mkdocstrings"):
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet"]
        command += ["-f", str(configuration), "-d", str(folder)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            for cache in list(folder.rglob("__pycache__")):  # of the hooks in the folder of the documents
                shutil.rmtree(cache)
            return
        reason = (done.stdout.strip().splitlines() or ["unknown reason"])[-1]
        print(f"tracker: mkdocs failed ({reason}). The archive gets the Markdown files.", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))


def write_installer(root: Path, options: argparse.Namespace) -> None:
    """Write install.sh and README.txt for the files that are in ``root``."""
    facts = {
        "version": __version__,
        "pythons": " ".join(options.python),
        "extras": ",".join(options.extras),
        "machine": platform.machine(),
        "image": options.image or "(not packed)",
        "docs": "html" if (root / "docs" / "index.html").is_file() else "md",
    }
    script = Path(__file__).with_name("airgap_install.sh").read_text()
    for name, value in facts.items():
        script = script.replace(f"@{name.upper()}@", value)
    (root / "install.sh").write_text(script)
    (root / "install.sh").chmod(0o755)
    facts |= {
        "glibc": ".".join(map(str, airgap_wheels.GLIBC)),
        "docs": f"start at index.{facts['docs']}" if (root / "docs").is_dir() else "(not packed)",
    }
    (root / "README.txt").write_text(_README.format(**facts))


def write_manifest(root: Path) -> None:
    """Write MANIFEST: SHA-256, size and name of each file, and the SHA-256 of these lines."""
    text = "".join(
        f"{_sha256_of(path)} {path.stat().st_size} {path.relative_to(root)}\n" for path in _files_of(root)
    )
    (root / "MANIFEST").write_text(f"{text}{hashlib.sha256(text.encode()).hexdigest()}\n")


def _files_of(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file())


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def _write_archive(root: Path, temporary: Path, output: Path) -> str:
    """Write the archive atomically and durably, and return its SHA-256."""
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(root, root.name, filter=_without_owner)
    digest = _sha256_of(temporary)
    sync_file(temporary)
    publish(temporary, output)
    return digest


def _without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
