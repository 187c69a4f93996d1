"""The real wandb client in processes of its own, and a server process with a store."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from differential.sides import real_python
from serving import Server, serving

# A key of a form that the client accepts; a server with --no-key does not check it.
KEY = "local-" + "0123456789" * 4


class Client:
    """Runs code with the interpreter of the environment that has the real client.

    Attributes:
        server: The server.
        store: Its store.
        home: The folder that the client sees as home.
    """

    def __init__(self, server: Server, home: Path) -> None:
        self.server = server
        self.store = server.store
        self.home = home
        self.python = real_python()

    def run(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run code, which must succeed, and return the ended process."""
        ended = self.start([self.python, "-c", code], **environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    def ask(self, code: str, **environment: str) -> Any:
        """Run code that ends with ``show(VALUE)``, and return the value."""
        show = "import json\ndef show(value): print('\\n' + json.dumps(value))\n"
        return json.loads(self.run(show + code, **environment).stdout.splitlines()[-1])

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``wandb``, and return the ended process."""
        return self.start([str(Path(self.python).parent / "wandb"), *arguments], **environment)

    def start(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the settings of the client."""
        known = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        known["PATH"] = f"{Path(self.python).parent}:{known.get('PATH', '')}"
        known |= {
            "HOME": str(self.home),
            "WANDB_DIR": str(self.home),
            "WANDB_BASE_URL": self.server.url,
            "WANDB_API_KEY": KEY,
            "WANDB_SILENT": "true",
            **environment,
        }
        return subprocess.run(
            command,
            env={name: value for name, value in known.items() if value},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Return a client of a new server without keys."""
    home = tmp_path / "home"
    home.mkdir()
    with serving(tmp_path / "store") as server:
        yield Client(server, home)
