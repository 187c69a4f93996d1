"""Fixtures: a server, and the real wandb client in processes that know only its address and a key."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scripts
from serving import Server, serving

# Read at import, because tests run without the TRACKER_* variables of the caller.
PYTHON = Path(os.environ.get("TRACKER_WANDB_PYTHON") or scripts.ROOT / ".venv-differential/bin/python")
# Folder for the operations that the tests saw: `python -m tests.write_wandb_operations` reads it.
OPERATIONS = os.environ.get("TRACKER_WANDB_OPERATIONS")


@dataclass
class Client:
    """The real client.

    Attributes:
        server: The server to which it logs.
        folder: Working folder and home of its processes.
        python: The Python in which the client is installed.
    """

    server: Server
    folder: Path
    python: Path = PYTHON

    @property
    def store(self) -> Path:
        """The store of the server."""
        return self.server.store

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start the client's Python with arguments. A variable that is empty is removed."""
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        settings = {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "WANDB_BASE_URL": self.server.url,
            # With --no-key the server does not check the key. The client checks its form.
            "WANDB_API_KEY": self.server.key or "local-" + 40 * "0",
            **variables,
        }
        return subprocess.Popen(
            [str(self.python), *arguments],
            cwd=self.folder,
            env=kept | {name: value for name, value in settings.items() if value},
            stdin=subprocess.DEVNULL,
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
        ended = self._ended("-c", code, *arguments, **variables)
        assert ended.returncode == 0 or not check, ended.stdout + ended.stderr
        return ended

    def ask(self, code: str, **variables: str) -> Any:
        """Run code that ends with ``show(VALUE)``, and return the value."""
        show = "import json\ndef show(value): print('\\n' + json.dumps(value))\n"
        return json.loads(self.run(show + code, **variables).stdout.splitlines()[-1])

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``wandb``."""
        return self._ended("-m", "wandb", *arguments, **variables)

    def _ended(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **variables)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.fixture(scope="module")
def wandb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that the tests of a module share."""
    with serving(tmp_path_factory.mktemp("wandb") / "store", key=True) as server:
        yield server
        _check_operations(server)


@pytest.fixture
def client(wandb_server: Server, tmp_path: Path) -> Client:
    """Return the real client, with a home of its own."""
    return Client(wandb_server, _home(tmp_path))


@pytest.fixture
def own_client(tmp_path: Path) -> Iterator[Client]:
    """Return the real client of a server that only this test uses, without keys."""
    with serving(tmp_path / "store") as server:
        yield Client(server, _home(tmp_path))
        _check_operations(server)


def _home(tmp_path: Path) -> Path:
    if not PYTHON.is_file():
        pytest.fail(f"there is no {PYTHON}: run `python3 dev.py test -m wandb_client`", pytrace=False)
    home = tmp_path / "home"
    home.mkdir()
    return home


def _check_operations(server: Server) -> None:
    """Check that the client has asked for nothing that the server does not know."""
    if server.process.poll() is None:  # a test may have ended it
        with server.client() as http:
            seen = http.get("/wandb/operations").json()
        if OPERATIONS:
            Path(OPERATIONS, f"{server.port}.json").write_text(json.dumps(seen["answered"]))
        assert seen["unknown"] == {}
