"""Places where a run that the real client logs to a server differs from the native run, with reasons.

`docs/wandb-protocol.md` shows them.
"""

from __future__ import annotations

_FOLDER = "the client sends only the files that the script gives to `save`; tracker stores the whole folder"

KNOWN: dict[str, dict[str, str]] = {
    "config/keys_that_are_no_text": {"runs": "the client fails before it tells the server of the run"},
    "files/written_into_the_folder": {"runs/0/files": _FOLDER},
    "identity/path_and_dir": {"runs/0/files": _FOLDER},
}
