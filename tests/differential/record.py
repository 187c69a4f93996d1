"""The recorder of the real client's outcomes: ``python tests/differential/record.py``.

``TRACKER_WANDB_PYTHON`` names the interpreter that has the real client; see ``sides``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from differential import golden, sides


def main() -> None:
    """Run the corpus and replace the recorded outcomes and names."""
    with tempfile.TemporaryDirectory() as folder:
        golden.save(sides.outcomes_of_wandb(Path(folder)))
    golden.save_surface(sides.surface_of_wandb())


if __name__ == "__main__":
    main()
