"""Bokeh plots."""

from __future__ import annotations

import os
from typing import Any

from tracker.data_types.json_text import for_run
from tracker.data_types.media import Media, need
from tracker.ground.values import to_plain


class Bokeh(Media):
    """A Bokeh plot, stored as JSON.

    Args:
        data_or_path: A Bokeh document, a Bokeh model, or the path of a file with the JSON of one.

    Raises:
        TypeError: ``data_or_path`` is none of these.
        UsageError: Bokeh is not installed.
    """

    _log_type = "bokeh-file"
    folder = "bokeh"

    def __init__(self, data_or_path: Any) -> None:
        if isinstance(data_or_path, (str, os.PathLike)):
            self._take_file(os.fspath(data_or_path), ".bokeh.json")
            return
        bokeh = need("bokeh", "Bokeh")
        from bokeh import document, model

        if isinstance(data_or_path, model.Model):
            made = document.Document()
            made.add_root(data_or_path)
            data_or_path = made
        if not isinstance(data_or_path, document.Document):
            raise TypeError(f"Bokeh accepts Bokeh documents and models, not {type(data_or_path).__name__}")
        data_or_path.validate()
        content = {**data_or_path.to_json(), "version": bokeh.__version__}
        self._take(for_run(to_plain(content)), ".bokeh.json")
