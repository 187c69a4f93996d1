"""The identity of a run: its names, its place, its state."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracker.errors import UsageError
from tracker.ground.records import RunChanged, writer_rank
from tracker.sdk.run.config import ConfigStatic
from tracker.sdk.run.core import RunCore

if TYPE_CHECKING:
    from tracker.sdk.run.settings import Settings

LONGEST_TAG = 64


class Identity(RunCore):
    """The identity of a ``Run``.

    Setting a field writes a record. A user's later edit in the dashboard takes precedence over it.
    """

    # The script ``undescribed`` in tests/differential/corpus/identity.py compares unset fields with wandb.

    @property
    def name(self) -> str | None:
        """The display name. Can be set."""
        return self._text("name")

    @name.setter
    def name(self, name: str | None) -> None:
        self._set("name", self.id if name is None else _as_text("name", name))

    @property
    def notes(self) -> str | None:
        """The notes. Can be set."""
        return self._text("notes")

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._set("notes", None if notes is None else _as_text("notes", notes))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags. Can be set (``run.tags += ("new",)``). A string is one tag; wandb splits it."""
        return tuple(self._shown["tags"] or ())

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        given = [tags] if isinstance(tags, str) else list(tags)
        for tag in given:
            if not isinstance(tag, str) or not 1 <= len(tag) <= LONGEST_TAG:
                self._warn(
                    f"Invalid tag detected: {tag!r}. Tags must be between 1 and 64 characters. "
                    "Tags not updated."
                )
                return
        self._set("tags", given)

    def _text(self, field: str) -> str | None:
        value: str | None = self._shown[field]
        return value

    def _set(self, field: str, value: Any) -> None:
        self._check_open(field)
        self._put(RunChanged(time.time(), {field: value}))  # type: ignore[misc]
        self._shown[field] = value

    @property
    def group(self) -> str:
        """The group, or an empty string."""
        return self._text("group") or ""

    @property
    def job_type(self) -> str:
        """The job type, or an empty string."""
        return self._text("job_type") or ""

    @property
    def path(self) -> str:
        """``ENTITY/PROJECT/ID``."""
        return f"{self.entity}/{self.project}/{self.id}"

    def project_name(self) -> str:
        """Return the project. Older scripts call this method."""
        return self.project

    @property
    def config_static(self) -> ConfigStatic:
        """A read-only copy of the current config."""
        return ConfigStatic(self.config.as_dict())

    @property
    def step(self) -> int:
        """The step of the next ``log`` call without ``step``."""
        return self._steps.step

    @property
    def start_time(self) -> float:
        """When this process started the run, in Unix seconds."""
        return self._started.time

    @property
    def offline(self) -> bool:
        """Whether the run is not sent to a server while it is running."""
        return self._journal.settings.mode == "offline"

    @property
    def url(self) -> str | None:
        """The URL of the run's page. None offline or without a server."""
        base = self._base_url
        return f"{base}/{self.entity}/{self.project}?run={self.id}" if base else None

    def get_url(self) -> str | None:
        """Return ``url``. Older scripts call this method."""
        return self.url

    @property
    def project_url(self) -> str | None:
        """The URL of the project's page. None offline or without a server."""
        base = self._base_url
        return f"{base}/{self.entity}/{self.project}" if base else None

    def get_project_url(self) -> str | None:
        """Return ``project_url``. Older scripts call this method."""
        return self.project_url

    @property
    def sweep_id(self) -> str | None:
        """The id of the sweep that the run belongs to, if any."""
        return self._journal.settings.sweep_id

    @property
    def sweep_url(self) -> None:
        """Always None: sweeps have no page."""

    @property
    def _base_url(self) -> str | None:
        base = self._journal.settings.base_url
        return base.rstrip("/") if base and not self.offline and not self.disabled else None

    @property
    def settings(self) -> Settings:
        """A copy of the settings in effect, under wandb's names. Changes to the copy have no effect."""
        from tracker.sdk.run.settings import settings_of

        more = {"run_id": self.id, "run_name": self.name, "resumed": self.resumed}
        return settings_of(self._journal.settings, **more)

    @property
    def _attach_id(self) -> str | None:
        """The id with which ``wandb._attach`` continues the run in another process.

        Lightning's own wandb logger reads this attribute. Reading it creates the shared step counter: from
        then on, both processes take the run's steps from it.
        """
        if self.disabled:
            return None
        steps = self.share_steps()
        shared = f"-{os.getpid()}-{steps.descriptor}" if steps is not None else ""
        return f"{self.path}/{writer_rank(self._started.rank)}{shared}@{self._journal.settings.store}"

    def __repr__(self) -> str:
        return f"<Run {self.path} ({self.name})>"


def _as_text(field: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise UsageError(f"run.{field} must be a string, not {type(value).__name__}")
