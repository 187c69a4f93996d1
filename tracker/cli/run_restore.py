"""The command ``tracker restore``: get a run's code, config, environment and data, and list the rest."""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.cli.output import as_size, one_line
from tracker.cli.run_selection import RUN_HELP, add_place, open_selection
from tracker.errors import ArtifactError, NotFoundError, StoreError, UsageError
from tracker.ground.parsed_types import RelativePath

if TYPE_CHECKING:
    from tracker.api.run import Run
    from tracker.artifacts.artifact import Artifact
    from tracker.reading.reader import ArtifactReader

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_REQUIREMENTS = "requirements.txt"
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)")
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")
# The number of names in one line of the report.
_NAMED = 5


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    restore = commands.add_parser(
        "restore", help="check out the git commit of a run; write its config, environment and data"
    )
    restore.add_argument("--no-git", action="store_true", help="do not check out the git commit")
    restore.add_argument(
        "--branch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="create the branch wandb/RUN, unless --no-branch is given",
    )
    restore.add_argument(
        "--env", action="store_true", help="write the installed packages as files for pip and uv"
    )
    restore.add_argument("--data", action="store_true", help="write the artifacts that the run used")
    restore.add_argument(
        "-o", "--output", type=Path, default=Path("wandb"), metavar="DIR", help="folder (default: wandb)"
    )
    restore.add_argument("name", metavar="RUN", help=RUN_HELP)
    add_place(restore)
    restore.set_defaults(run=_restore)


def _restore(options: argparse.Namespace) -> None:
    run = open_selection(options).find(options.name)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    metadata = run.metadata or {}
    missing: list[str] = []
    if not options.no_git:
        missing += _restore_git(run, metadata, branch=options.branch)
    if "[hidden]" in " ".join(map(str, metadata.get("args") or ())):
        missing.append("secrets in the arguments of the command: tracker does not store them ([hidden])")
    run.file("config.yaml").download(root=str(output), replace=True).close()
    print(f"config: {output / 'config.yaml'}")
    if options.env:
        missing += _restore_environment(run, metadata, output)
    lost = False
    if options.data:
        unavailable, lost = _restore_data(run, output / "data")
        missing += unavailable
    if missing:
        print("not restored:")
        print(*(f"  - {one_line(line)}" for line in missing), sep="\n")
    if lost:
        raise SystemExit(1)


def _restore_git(run: Run, metadata: dict[str, Any], *, branch: bool) -> list[str]:
    """Check out the commit, and apply the uncommitted changes; return what is missing."""
    git = metadata.get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    if not commit:
        print("code: the run has no git commit")
        return [f"the code: no git commit was recorded{_saved_code(run)}"]
    top = Path(_git("rev-parse", "--show-toplevel").strip())
    try:
        _git("cat-file", "-e", f"{commit}^{{commit}}")
    except UsageError:
        remote = (
            f" from {one_line(str(git['remote']))}" if isinstance(git, dict) and git.get("remote") else ""
        )
        raise UsageError(
            f"This repository has no commit {commit}. Fetch it{remote}, or use --no-git."
        ) from None
    if _git("status", "--porcelain", "--untracked-files=no").strip():
        raise UsageError("The repository has uncommitted changes. Commit or stash them first.")
    if branch:
        _git("checkout", "-q", "-B", f"wandb/{run.id}", str(commit))
    else:
        _git("checkout", "-q", "--detach", str(commit))
    print(f"code: {commit}" + (f" on branch wandb/{run.id}" if branch else ""))
    missing = [f"files that git did not track: they were not recorded{_saved_code(run)}"]
    try:
        patch = run.file("diff.patch")
    except NotFoundError:
        return missing
    content = b"".join(patch.chunks())
    if b"\n# cut off: the difference is above" in content[-200:]:
        return [
            *missing,
            "the uncommitted changes: they were too large and only their beginning was recorded",
        ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "diff.patch")
        path.write_bytes(content)
        _git("apply", str(path), folder=top)
    print("code: the run's uncommitted changes are applied")
    if b"[hidden]" in content:
        missing.append("secrets in the uncommitted changes: the code has [hidden] in their place")
    return missing


def _saved_code(run: Run) -> str:
    found = any(file.name.startswith("code/") for file in run.files())
    return f". The run has saved code: tracker pull {run.id}" if found else ""


def _git(*arguments: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=folder)
    except OSError as error:
        raise UsageError(f"Cannot run git: {error.strerror}.") from error
    if done.returncode:
        raise UsageError(
            f"git {arguments[0]}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}"
        )
    return done.stdout


def _restore_environment(run: Run, metadata: dict[str, Any], output: Path) -> list[str]:
    """Write ``requirements.txt`` for pip and ``pyproject.toml`` for uv; return what is missing."""
    try:
        recorded = b"".join(run.file(_REQUIREMENTS).chunks()).decode("utf-8", "replace")
    except NotFoundError:
        return ["the packages: they were not recorded"]
    found = (_PIN.fullmatch(line.strip()) for line in recorded.splitlines())
    pins = {pin[1]: pin[2] for pin in found if pin is not None}
    sources = metadata.get("packageSources")
    lines, missing = [], []
    for name, version in pins.items():
        source = sources.get(name) if isinstance(sources, dict) else None
        if not isinstance(source, dict):
            lines.append(f"{name}=={version}")
            continue
        url, vcs, commit = (str(source.get(key) or "") for key in ("url", "vcs", "commit"))
        address = f"{vcs}+{url}@{commit}" if vcs and commit else url
        if source.get("subdirectory"):
            address += f"#subdirectory={source['subdirectory']}"
        if url.startswith("file:") or not re.fullmatch(r"[!-~]+", address):
            missing.append(f"package {name} {version}: it was installed from {address}")
        else:
            lines.append(f"{name} @ {address}")
    local = [f"{name}=={version}" for name, version in pins.items() if "+" in version]
    if local:
        missing.append(f"builds that are not on PyPI; name the index that has them: {_listed(local)}")
    python = str(metadata.get("python") or "").rpartition(" ")[2]
    header = f"# Packages of run {one_line('/'.join(run.path))}, Python {python or 'unknown'}. For pip:\n"
    header += f"# pip install --no-deps -r {_REQUIREMENTS}\n"
    comments = "".join(f"# not here: {one_line(line)}\n" for line in missing)
    text = header + comments + "".join(f"{line}\n" for line in lines)
    (output / _REQUIREMENTS).write_text(text, "utf-8", errors="replace")
    print(f"packages: {output / _REQUIREMENTS} ({len(lines)} packages)")
    (output / "pyproject.toml").write_text(_project(run, python, lines), "utf-8", errors="replace")
    print(f"packages: {output / 'pyproject.toml'}, for: uv sync --project {output}")
    return [*missing, *_differences(metadata, python)]


def _project(run: Run, python: str, lines: list[str]) -> str:
    """Return a project for uv with exact versions."""
    version = _VERSION.fullmatch(python)
    quoted = "".join(f'    "{_toml(line)}",\n' for line in lines)
    return (
        f"# Packages of run {one_line('/'.join(run.path))}. For uv: uv sync\n"
        '[project]\nname = "restored-environment"\nversion = "0"\n'
        + (f'requires-python = "=={version[1]}.{version[2]}.*"\n' if version else "")
        + f"dependencies = [\n{quoted}]\n\n[tool.uv]\npackage = false\n"
    )


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _differences(metadata: dict[str, Any], python: str) -> Iterator[str]:
    """Yield what the files for pip and uv do not restore: Python, CUDA, the container and conda."""
    if python and python != platform.python_version():
        yield f"Python {python}: this is Python {platform.python_version()}"
    if cuda := metadata.get("cudaVersion"):
        here = _cuda_version()
        if here != cuda:
            yield f"a driver for CUDA {cuda}: this machine has {f'CUDA {here}' if here else 'no GPU driver'}"
    container = metadata.get("container")
    if isinstance(container, dict) and container.get("image"):
        yield f"the container image {container['image']}"
    if conda := metadata.get("conda"):
        yield f"packages of conda ({conda}) other than those of Python: see conda-environment.yaml of the run"


def _cuda_version() -> str | None:
    from tracker.capture.sampler import has_driver

    if not has_driver():
        return None
    from tracker.capture.nvml import Cards, Unavailable

    try:
        cards = Cards()
    except Unavailable:
        return None
    try:
        return cards.cuda_version()
    finally:
        cards.close()


def _restore_data(run: Run, folder: Path) -> tuple[list[str], bool]:
    """Write the used artifacts; return what is missing, and whether a content is lost."""
    missing, lost = [], False
    artifacts = list(run.used_artifacts())
    if not artifacts:
        print("data: the run used no artifacts")
    for artifact in artifacts:
        name = artifact.qualified_name
        try:
            # A server is not trusted to send names that are safe in a path.
            place = folder / msgspec.convert(name.replace(":", "/"), RelativePath)
            references = _write_artifact(run._reader, artifact, place)
        except (ArtifactError, NotFoundError, StoreError, msgspec.ValidationError) as error:
            missing.append(f"artifact {name} (digest {artifact.digest}): {error}")
            lost = True
            continue
        print(f"data: {place} (artifact {name}, digest {artifact.digest}, {as_size(artifact.size)})")
        if references:
            missing.append(
                f"artifact {name}: {len(references)} references to outside storage, such as {references[0]}. "
                f"To fetch them: tracker artifact get {name}"
            )
    return missing, lost


def _write_artifact(reader: ArtifactReader, artifact: Artifact, folder: Path) -> list[str]:
    """Write the files of a version, which are compared with their digests; return its references."""
    from tracker.artifacts.download import download_entries

    detail = artifact.detail
    manifest = reader.manifest(detail)
    if manifest.digest != artifact.digest:
        raise ArtifactError(f"its list of files has the digest {manifest.digest}")
    references = [entry.ref for entry in manifest.entries if entry.ref is not None]
    folder.mkdir(parents=True, exist_ok=True)
    download_entries(reader, detail, [entry for entry in manifest.entries if entry.ref is None], folder)
    return references


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
