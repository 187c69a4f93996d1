"""Names of wandb that tracker deliberately changes, with reasons, and names that are still missing."""

from __future__ import annotations

DELIBERATE: dict[str, str] = {
    "wandb.Run": "`init` creates it, as in wandb; the constructor is not for scripts",
    "wandb.Run.log_code": "`include_fn=None` means the same files as wandb's own function",
    "wandb.Table.bind_to_run": "for internal use: its parameters are the run, the key and the step",
    "public Run.history": "`samples=None` returns all rows, not a random sample of 500",
    "public File.to_html": "has the parameters height and hidden, as the other `to_html` methods",
}

NOT_YET: dict[str, str] = {}
