"""The members ``Run.dir``, ``save`` and ``restore``."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal, TextIO

from tracker.sdk.run.identity import Identity

if TYPE_CHECKING:
    from tracker.sdk.run.folder import RunFolder


class Files(Identity):
    """The file methods of a ``Run``."""

    @property
    def dir(self) -> str:
        """The run's own folder. Files in it become files of the run when the run ends.

        The path is ``ROOT/wandb/run-YYYYMMDD_HHMMSS-ID/files``, where ROOT is ``dir`` of ``init``. The folder
        is created on first access. Links to files outside of the folder are not followed.
        """
        return os.path.join(self.sync_dir, "files")

    @property
    def sync_dir(self) -> str:
        """The parent folder of ``dir``."""
        if self.disabled:
            import tempfile  # slow to import, and rarely needed

            return os.path.join(tempfile.gettempdir(), "wandb", self._folder_name())
        return str(self._folder.root)

    def save(
        self,
        glob_str: str | os.PathLike[str] | bytes,
        base_path: str | os.PathLike[str] | None = None,
        policy: Literal["live", "now", "end"] = "live",
        glob: bool = True,
    ) -> bool | list[str]:
        """Save files with the run.

        Args:
            glob_str: A path, or a pattern that is expanded now. A folder is saved with all its files.
            base_path: The part of the path to leave out in the run. The default is the working folder; for an
                absolute path, it is the parent of the file's folder.
            policy: ``"live"``: save now, again after each change (checked every few seconds), and at the end;
                ``"now"``: save once; ``"end"``: save when the run ends.
            glob: False takes ``glob_str`` literally.

        Returns:
            The paths of the files in ``dir``.

        Raises:
            ValueError: The policy is unknown, or the pattern begins with ``*`` or leads out of ``base_path``.
        """
        self._check_open("save")
        if isinstance(glob_str, bytes):
            glob_str = glob_str.decode()
        if str(glob_str).startswith(("gs://", "s3://")):
            self._warn(f"{glob_str} is a cloud storage url, can't save file to W&B.")
            return []
        pattern = PurePath(glob_str)
        whole = PurePath(os.path.abspath(pattern))
        if base_path is None:
            base_path = whole.parent.parent if pattern.is_absolute() else "."
        if policy not in ("live", "end", "now"):
            raise ValueError('Only "live", "end" and "now" policies are currently supported.')
        base = PurePath(os.path.abspath(base_path))
        if not whole.is_relative_to(base):
            raise ValueError(f"Glob may not walk above the base path: {glob_str} is not in {base_path}")
        relative = str(whole.relative_to(base))
        if relative == ".":
            raise ValueError("Glob may not be the same as the base path")
        if relative.startswith("*"):
            raise ValueError(f"Glob may not start with '*' relative to the base path: {relative}")
        found = [str(whole)]
        if glob:
            import glob as globbing  # imported late: few runs need it

            found = sorted(globbing.glob(str(whole)))
        saved = []
        for place in filter(os.path.lexists, found):
            for source in _files_of(place):
                path = source.relative_to(base).as_posix()
                self._folder.save(source, path, policy)
            saved.append(os.path.join(self.dir, Path(place).relative_to(base)))
        return sorted(saved)

    def restore(
        self, name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
    ) -> TextIO | None:
        """Fetch a file of this run or of another run, and open it.

        Args:
            name: The file's path in the run.
            run_path: ``[[entity/]project/]id``. The default is this run.
            replace: Whether to fetch the file even if it exists locally.
            root: The target folder. The default is ``dir``.

        Returns:
            The open file, or None if the run has no such file.

        Raises:
            NotFoundError: The run does not exist.
        """
        from tracker.sdk.run.restore import restore_file

        return restore_file(self._journal.settings, name, run_path or self.path, replace, root or self.dir)

    def _keep_files(self) -> None:
        folder = self.__dict__.get("_folder")
        if folder is not None:
            folder.finish()

    def leave_to_parent(self) -> None:
        """See ``RunCore``. The child may write into an existing folder, and the parent saves its files."""
        super().leave_to_parent()
        folder = self.__dict__.get("_folder")
        if folder is not None:
            folder.leave_to_parent()

    @cached_property
    def _folder(self) -> RunFolder:
        from tracker.sdk.run.folder import RunFolder  # imported late: many runs have no folder

        root = self._journal.settings.run_root
        try:
            return RunFolder(root / "wandb" / self._folder_name(), self.save_path, self._warn)
        except OSError as error:
            from tracker.sdk.run.fallback import private_folder

            instead = private_folder()
            self._warn(f"cannot make a folder in {root} ({error.strerror}): the run uses {instead}")
            return RunFolder(instead / "wandb" / self._folder_name(), self.save_path, self._warn)

    def _folder_name(self) -> str:
        from tracker.sdk.run.folder import folder_name

        return folder_name(self.id, self._started.time, self.offline)


def _files_of(place: str) -> list[Path]:
    if not os.path.isdir(place):
        return [Path(place)]
    return [Path(folder, name) for folder, _folders, names in os.walk(place) for name in sorted(names)]
