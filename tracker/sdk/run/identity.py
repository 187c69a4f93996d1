"""What a run is called, where it belongs, and where it stands."""

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
    """The identity of a ``Run``. What may be set is recorded; a person's later edit holds against it."""

    @property
    def name(self) -> str | None:
        """The display name; may be set."""
        return self._text("name")

    @name.setter
    def name(self, name: str | None) -> None:
        self._set("name", self.id if name is None else _as_text("name", name))

    @property
    def notes(self) -> str | None:
        """The notes; may be set."""
        return self._text("notes")

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._set("notes", None if notes is None else _as_text("notes", notes))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags; may be set (``run.tags += ("new",)``). Unlike in wandb a string is one tag."""
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
        """The group; empty without one, as in wandb."""
        return self._text("group") or ""

    @property
    def job_type(self) -> str:
        """The job type; empty without one, as in wandb."""
        return self._text("job_type") or ""

    @property
    def path(self) -> str:
        """``ENTITY/PROJECT/ID``."""
        return f"{self.entity}/{self.project}/{self.id}"

    def project_name(self) -> str:
        """Return the project; what older scripts call."""
        return self.project

    @property
    def config_static(self) -> ConfigStatic:
        """The config as it is now, which cannot be changed."""
        return ConfigStatic(self.config.as_dict())

    @property
    def step(self) -> int:
        """The step that the next ``log`` without ``step`` goes to."""
        return self._steps.step

    @property
    def start_time(self) -> float:
        """When this process began the run, in unix seconds."""
        return self._started.time

    @property
    def offline(self) -> bool:
        """Whether nothing is sent to a server while the run goes on."""
        return self._journal.settings.mode == "offline"

    @property
    def url(self) -> str | None:
        """Where the run can be looked at, when a server is named; None offline, as in wandb."""
        base = self._base_url
        return f"{base}/{self.entity}/{self.project}?run={self.id}" if base else None

    def get_url(self) -> str | None:
        """Return ``url``; what older scripts call."""
        return self.url

    @property
    def project_url(self) -> str | None:
        """Where the project can be looked at, when a server is named."""
        base = self._base_url
        return f"{base}/{self.entity}/{self.project}" if base else None

    def get_project_url(self) -> str | None:
        """Return ``project_url``; what older scripts call."""
        return self.project_url

    @property
    def sweep_id(self) -> str | None:
        """The sweep that the run belongs to, if any."""
        return self._journal.settings.sweep_id

    @property
    def sweep_url(self) -> None:
        """Where that sweep can be looked at: sweeps have no page here."""

    @property
    def _base_url(self) -> str | None:
        base = self._journal.settings.base_url
        return base.rstrip("/") if base and not self.offline and not self.disabled else None

    @property
    def settings(self) -> Settings:
        """The settings in force, under wandb's names. A copy: changing it changes nothing."""
        from tracker.sdk.run.settings import settings_of

        more = {"run_id": self.id, "run_name": self.name, "resumed": self.resumed}
        return settings_of(self._journal.settings, **more)

    @property
    def _attach_id(self) -> str | None:
        """What ``wandb._attach`` continues the run by in another process, as Lightning's own logger does.

        Asked for when the run is handed over: from then on both take its steps from one counter.
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
