"""Fixtures: the Python with the client libraries, and a folder for scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import scripts
from client_scripts import Client

# Read at import, because tests run without the TRACKER_* variables of the caller.
PYTHON = Path(os.environ.get("TRACKER_CLIENTS_PYTHON") or scripts.ROOT / ".venv-clients/bin/python")


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Return a client whose working folder, with the store, belongs to the test."""
    if not PYTHON.is_file():
        pytest.fail(f"there is no {PYTHON}: run `python3 dev.py test -m clients`", pytrace=False)
    return Client(PYTHON, tmp_path)
