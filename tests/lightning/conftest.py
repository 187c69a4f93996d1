"""Tests in ``page`` run in two processes, one for each way to import tracker; see ``test_doors.py``."""

from __future__ import annotations

import os

# `DOOR=1 python -m pytest tests/lightning/page` runs them directly.
collect_ignore = [] if "DOOR" in os.environ else ["page"]
