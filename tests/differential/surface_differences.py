"""Names of wandb that are deliberately otherwise here, with reasons, and those that are missing yet."""

from __future__ import annotations

DELIBERATE: dict[str, str] = {
    "wandb.Run": "made by `init`, as in wandb; its constructor is not for scripts",
    "wandb.Run.log_code": "`include_fn=None` means the same files as wandb's own function",
    "wandb.Table.bind_to_run": "made for wandb's own use: takes the run, the key and the step",
    "public Run.history": "`samples=None`: all rows, not 500 of them drawn at random",
    "public File.to_html": "takes height and hidden, as the others' `to_html`",
}

NOT_YET: dict[str, str] = {}
