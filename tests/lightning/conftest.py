"""The tests in ``page`` run in processes of their own, one for each door: see ``test_doors.py``."""

from __future__ import annotations

import os

# DOOR=1 python -m pytest tests/lightning/page runs them here and now.
collect_ignore = [] if "DOOR" in os.environ else ["page"]
