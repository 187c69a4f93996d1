"""What a notebook shows of a run, and how far it was sent."""

from __future__ import annotations

import html
import sys
from datetime import datetime
from typing import NamedTuple

from tracker.sdk.run.identity import Identity


class RunStatus(NamedTuple):
    """How far a run was sent.

    Attributes:
        sync_items_total: What there is to send.
        sync_items_pending: What of it waits.
        sync_time: When all had been sent last.
    """

    sync_items_total: int = 0
    sync_items_pending: int = 0
    sync_time: datetime | None = None


class NotebookRepr(Identity):
    """How a ``Run`` is shown."""

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show the run in a notebook; return whether there is one.

        Args:
            height: In pixels.
            hidden: Show a button that opens it.
        """
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if self.settings.silent or shell is None or not hasattr(shell, "kernel"):
            return False
        from IPython.display import HTML, display  # type: ignore[import-not-found,unused-ignore]

        display(HTML(self.to_html(height, hidden)))  # type: ignore[no-untyped-call,unused-ignore]
        return True

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """Return a frame with the run's page; a line that names the run where no server is named."""
        if self.url is None:
            return f"<code>{html.escape(repr(self))}</code>"
        style = f"border:none;width:100%;height:{height}px;"
        button = ""
        if hidden:
            style += "display:none;"
            button = (
                "<button onClick=\"this.nextSibling.style.display='block';this.style.display='none';\">"
                "Display run</button>"
            )
        return f'{button}<iframe src="{html.escape(self.url)}" style="{style}"></iframe>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.to_html(hidden=True)}

    def status(self) -> RunStatus:
        """Return how far the run was sent: nothing waits without a server, as in wandb's offline mode.

        Raises:
            UsageError: The run is finished.
            UnsupportedError: A server is named.
        """
        self._check_open("status")
        if self._base_url is not None:
            from tracker.errors import UnsupportedError

            raise UnsupportedError("Run.status() of a run that is sent", "look at it with `tracker doctor`")
        return RunStatus()

    def write_logs(self, text: str) -> None:
        """Add text to the run's output, as if it had been printed; nothing where the console is not kept."""
        self._check_open("write_logs")
        if self.capturing is not None:
            self.capturing.write_logs(text)

    def _label(
        self, code: str | None = None, repo: str | None = None, code_version: str | None = None, **more: str
    ) -> None:
        """Do nothing: what libraries tell wandb of themselves."""
