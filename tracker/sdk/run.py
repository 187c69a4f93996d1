"""``Run``: what a script logs to. Every call is a record; nothing else happens on its thread."""

from __future__ import annotations

from tracker.sdk.alerts import Alerts
from tracker.sdk.artifact_methods import ArtifactMethods
from tracker.sdk.files import Files
from tracker.sdk.life import Life
from tracker.sdk.rows import Logging
from tracker.sdk.showing import Showing
from tracker.sdk.watching import Watching


class Run(Logging, Watching, ArtifactMethods, Files, Alerts, Showing, Life):
    """A run that is being written; made by ``init``.

    Safe to use from several threads. In a forked child, what is logged goes to a segment of the
    child's own, and the parent's run is never finished from there.
    """

    def _label(self, *args: object, **kwargs: object) -> None:
        """Accept what libraries tell wandb's telemetry of themselves; nothing of it is kept."""
