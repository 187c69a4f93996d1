"""The display of a run in a notebook, and its upload status."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import NamedTuple

from tracker.sdk.run.identity import Identity


class RunStatus(NamedTuple):
    """The upload status of a run.

    Attributes:
        sync_items_total: The number of items to send.
        sync_items_pending: The number of items that are not sent yet.
        sync_time: When the last item was sent.
    """

    sync_items_total: int = 0
    sync_items_pending: int = 0
    sync_time: datetime | None = None


class NotebookRepr(Identity):
    """The display methods of a ``Run``."""

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show the run in a notebook.

        Args:
            height: The height of the frame in pixels.
            hidden: Whether to show a button that opens the frame.

        Returns:
            Whether the code runs in a notebook.
        """
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if self.settings.silent or shell is None or not hasattr(shell, "kernel"):
            return False
        from IPython.display import HTML, display  # type: ignore[import-not-found,unused-ignore]

        display(HTML(self.to_html(height, hidden)))  # type: ignore[no-untyped-call,unused-ignore]
        return True

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """Return a frame with the run's page. Without a server, return a line that names the run."""
        import html  # its table of 2,000 characters would delay the start of each run

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
        """Return the upload status. Without a server, nothing is pending; wandb returns the same offline.

        Raises:
            UsageError: The run is finished.
            UnsupportedError: The run is sent to a server.
        """
        self._check_open("status")
        if self._base_url is not None:
            from tracker.errors import UnsupportedError

            raise UnsupportedError("Run.status() of a run on a server", "run `tracker doctor` for its status")
        return RunStatus()

    def write_logs(self, text: str) -> None:
        """Add text to the run's output, as if the script had printed it."""
        self._check_open("write_logs")
        if self.capturing is not None:
            self.capturing.write_logs(text)
