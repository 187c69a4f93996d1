"""Places where a run that the real client logs to a server differs from the native run, with reasons.

``page.py`` shows them in docs/compatibility.md.
"""

from __future__ import annotations

_FOLDER = "the client sends only the files that the script gives to `save`; tracker stores the whole folder"
_NESTED = "the client sends a nested summary without the change of a part of it"
_NULL = "the client sends neither null nor NaN in a summary"

KNOWN: dict[str, dict[str, str]] = {
    "files/written_into_the_folder": {"runs/0/files": _FOLDER},
    "identity/path_and_dir": {"runs/0/files": _FOLDER},
    "settings/dryrun": {"runs": "the client is offline, and sends nothing"},
    "summary/deleted": {"runs/0/summary/b/c": _NESTED},
    "summary/min_max_mean_last": {"runs/0/metrics/copy/summary": 'the client does not send `summary="copy"`'},
    "summary/numpy_values": {"runs/0/summary/none": _NULL, "runs/0/summary/nan": _NULL},
    "summary/set_by_hand": {"runs/0/summary/nested/b": _NESTED},
}
