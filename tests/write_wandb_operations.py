"""Write the table of operations in docs/wandb-protocol.md from what the suite ``wandb_client`` saw.

mkdir SEEN; TRACKER_WANDB_OPERATIONS=SEEN python3 dev.py test -m wandb_client
python -m tests.write_wandb_operations SEEN
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "wandb-protocol.md"
BEGIN, END = "<!-- operations: begin -->\n", "<!-- operations: end -->\n"


def write(folder: Path) -> None:
    """Add the operations in the files of a folder to those in the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    known, _, after = rest.partition(END)
    rows = {line for line in known.splitlines() if line.startswith(("| query ", "| mutation "))}
    for file in folder.glob("*.json"):
        rows |= {f"| {each.replace(' ', ' | ', 1)} |" for each in json.loads(file.read_text())}
    table = "\n".join(["| kind | operation |", "| --- | --- |", *sorted(rows)])
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
