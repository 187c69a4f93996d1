"""``Run.log_code``, which logs the source files of a script as an artifact."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tracker.artifacts.artifact import Artifact
from tracker.ground.settings import STORE_FOLDER

if TYPE_CHECKING:
    from tracker.sdk.run.artifact_methods import ArtifactMethods

# Returns whether to include a file, given its path, or its path and the root folder.
Choice = Callable[[str, str], bool] | Callable[[str], bool]

_OWN_FOLDERS = ("wandb", ".wandb", STORE_FOLDER)


def is_code(path: str) -> bool:
    """Return whether a file is Python, ``requirements.txt`` or a Dockerfile."""
    name = os.path.basename(path)
    return path.endswith(".py") or name == "requirements.txt" or name.startswith("Dockerfile")


def is_own(path: str, root: str) -> bool:
    """Return whether a file is in a folder of wandb or tracker."""
    return os.path.relpath(path, root).split(os.sep)[0] in _OWN_FOLDERS


def log_code(
    run: ArtifactMethods, root: str | None, name: str | None, include: Choice, exclude: Choice
) -> Artifact | None:
    """See ``Run.log_code``."""
    from tracker.ground.names import safe_artifact_name

    if name is None:
        name = safe_artifact_name(f"source-{run.project}-{_program()}")
    artifact = Artifact(name, "code")
    for path in _chosen(os.path.abspath(root), include, exclude) if root is not None else ():
        artifact.add_file(path, os.path.relpath(path, os.path.abspath(str(root))))
    if not artifact.file_count:
        return None
    return run.log_artifact(artifact)


def _chosen(root: str, include: Choice, exclude: Choice) -> Iterator[str]:
    wanted, unwanted = _with_root(include), _with_root(exclude)
    for folder, _folders, names in os.walk(root):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if wanted(path, root) and not unwanted(path, root):
                yield path


def _with_root(choice: Choice) -> Callable[[str, str], bool]:
    if len(inspect.signature(choice).parameters) == 2:
        return choice  # type: ignore[return-value]
    return lambda path, _root: choice(path)  # type: ignore[call-arg]


def _program() -> str:
    program = sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else "<python with no main file>"
    return os.path.relpath(program) if os.path.isabs(program) else program
