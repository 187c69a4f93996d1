"""The Python that has the libraries, and a folder to run scripts in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import scripts
from client_scripts import Client

# Read here: each test runs without the TRACKER_* variables from outside.
PYTHON = Path(os.environ.get("TRACKER_CLIENTS_PYTHON") or scripts.ROOT / ".venv-clients/bin/python")


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """A client whose working folder, and so its store, is the test's."""
    if not PYTHON.is_file():
        pytest.fail(f"there is no {PYTHON}: run `python3 dev.py test -m clients`", pytrace=False)
    return Client(PYTHON, tmp_path)
