"""What a run is called, where it belongs, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.sdk.core import RunCore

if TYPE_CHECKING:
    from tracker.sdk.settings import Settings


class Identity(RunCore):
    """The identity of a ``Run``."""

    @property
    def name(self) -> str | None:
        """The display name."""
        return self._started.name

    @property
    def path(self) -> str:
        """``ENTITY/PROJECT/ID``."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def group(self) -> str | None:
        """The group."""
        return self._started.group

    @property
    def job_type(self) -> str | None:
        """The job type."""
        return self._started.job_type

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags."""
        return tuple(self._started.tags or ())

    @property
    def notes(self) -> str | None:
        """The notes."""
        return self._started.notes

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
        """Where the run can be looked at, when a server is named."""
        base = self._journal.settings.base_url
        return (
            f"{base.rstrip('/')}/{self.entity}/{self.project}?run={self.id}"
            if base and not self.offline
            else None
        )

    @property
    def settings(self) -> Settings:
        """The settings in force, under wandb's names. A copy: changing it changes nothing."""
        from tracker.sdk.settings import settings_of

        more = {"run_id": self.id, "run_name": self.name, "resumed": self.resumed}
        return settings_of(self._journal.settings, **more)

    @property
    def _attach_id(self) -> str | None:
        """What ``wandb._attach`` continues the run by in another process, as Lightning's own logger does."""
        from tracker.sdk.attach import attach_id

        return None if self.disabled else attach_id(self.path, self._journal.settings.store)

    def __repr__(self) -> str:
        return f"<Run {self.path} ({self.name})>"
