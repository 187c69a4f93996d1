"""Fixtures: a server, and the real wandb client in processes that know only its address and a key."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import scripts
from serving import Server

# Read at import, because tests run without the TRACKER_* variables of the caller.
PYTHON = Path(os.environ.get("TRACKER_WANDB_PYTHON") or scripts.ROOT / ".venv-differential/bin/python")
# Folder for the operations that the tests saw: `python -m tests.write_wandb_operations` reads it.
OPERATIONS = os.environ.get("TRACKER_WANDB_OPERATIONS")


@dataclass(frozen=True)
class Client:
    """The real client.

    Attributes:
        server: The server to which it logs.
        folder: Working folder and home of its processes.
    """

    server: Server
    folder: Path

    @property
    def store(self) -> Path:
        """The store of the server."""
        return self.server.store

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start the client's Python with arguments."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WANDB_", "TRACKER_", "PYTHON", "XDG_"))
        }
        return subprocess.Popen(
            [str(PYTHON), *arguments],
            cwd=self.folder,
            env={
                **kept,
                "HOME": str(self.folder),
                "WANDB_BASE_URL": self.server.url,
                "WANDB_API_KEY": self.server.key or "local-" + 40 * "0",
                "WANDB_CONSOLE": "wrap",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, code: str, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run code with the client's Python.

        Args:
            code: The code.
            arguments: Arguments of the code.
            check: Whether the test fails if the process does.
            variables: More environment variables.
        """
        process = self.start("-c", code, *arguments, **variables)
        output, errors = process.communicate(timeout=300)
        if check:
            assert process.returncode == 0, errors
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``wandb``."""
        process = self.start("-m", "wandb", *arguments, **variables)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.fixture(scope="module")
def wandb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that the tests of a module share."""
    if not PYTHON.is_file():
        pytest.fail(f"there is no {PYTHON}: run `python3 dev.py test -m wandb_client`", pytrace=False)
    server = Server(tmp_path_factory.mktemp("wandb") / "store", key=True)
    yield server
    if server.process.poll() is None:  # a test may have killed it
        with server.client() as http:
            seen = http.get("/wandb/operations").json()
        if OPERATIONS:
            Path(OPERATIONS, f"{server.port}.json").write_text(json.dumps(seen["answered"]))
        server.stop()
        assert seen["unknown"] == {}


@pytest.fixture
def client(wandb_server: Server, tmp_path: Path) -> Client:
    """Return the real client, with a home of its own."""
    return Client(wandb_server, tmp_path)
