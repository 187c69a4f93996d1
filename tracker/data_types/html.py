"""HTML pages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tracker.data_types import dtypes
from tracker.data_types.media import BatchableMedia, read_text

# The bytes that wandb adds to a page. They are the same here, so that equal pages have equal file names.
HEAD = (
    '<base target="_blank"><link rel="stylesheet" type="text/css" '
    'href="https://app.wandb.ai/normalize.css" />'
)


class Html(BatchableMedia):
    """An HTML page.

    Args:
        data: The HTML, an open file with HTML, or the path of a file whose name ends in ``.html``.
        inject: Whether to add a link to wandb's style sheet to the head of the page. The dashboard loads
            nothing from other hosts, so the link has no effect there.
        data_is_not_path: Whether to use ``data`` as HTML even if a file of that name exists.

    Raises:
        ValueError: ``data`` is none of these.
    """

    _log_type = "html-file"
    folder = "html"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        source: str | None = None
        if (
            not data_is_not_path
            and isinstance(data, (str, os.PathLike))
            and os.path.splitext(data)[1] == ".html"
            and os.path.isfile(data)
        ):
            source = os.fspath(data)
            with open(source, encoding="utf-8") as file:
                self.html = file.read()
        elif isinstance(data, str):
            self.html = data
        elif hasattr(data, "read"):
            text = read_text(data)[0]
            self.html = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        else:
            raise ValueError("data must be a string or an io object")
        if inject:
            self.inject_head()
            source = None
        self._take(self.html.encode("utf-8", "replace"), ".html", source)

    def inject_head(self) -> None:
        """Add a link to wandb's style sheet to the head of the page."""
        for before, added, after in (("<head>", "<head>", ""), ("<html>", "<html><head>", "</head>")):
            if before in self.html:
                first, last = self.html.split(before, 1)
                self.html = f"{first}{added}{HEAD}{after}{last}".strip()
                return
        self.html = f"{HEAD}{self.html}".strip()

    @classmethod
    def from_json(cls, json_obj: dict[str, Any], source_artifact: Any) -> Html:
        """See ``WBValue.from_json``."""
        return cls(source_artifact.get_entry(json_obj["path"]).download(), inject=False)

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """See ``BatchableMedia.seq_to_json``."""
        return {"_type": "html", "count": len(seq), "html": [page.to_json(run) for page in seq]}


dtypes.register(Html, dtypes.file_type("html-file"))
