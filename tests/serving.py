"""A ``tracker server`` in a separate process, and HTTP clients that do not use tracker's own client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import scripts
from forking import Forked, fork_command, run_command

COMMAND = (sys.executable, "-m", "tracker.cli.main")
_FORKED = COMMAND  # a test that replaces COMMAND starts processes with other code
# The type of an event, its revision and its data.
Event = tuple[str, int, dict[str, Any]]
ADDRESS = re.compile(r"tracker server: (http://\S+) \(store ")


class Server:
    """A server process. Its address is read from its output, and the owner's key from the store.

    Attributes:
        first_lines: The lines that the server prints until it is ready.

    Args:
        store: The store.
        arguments: Further arguments of the command line.
        port: Port on the loopback interface; 0 uses a free port.
        key: Whether the server requires a key.
        installation: Installation whose server is started.
    """

    def __init__(
        self,
        store: Path,
        *arguments: str,
        port: int = 0,
        key: bool = False,
        installation: scripts.Installation = scripts.HERE,
    ) -> None:
        self.store = store
        self.installation = installation
        self.arguments = arguments
        self.asks = key
        self.key: str | None = None
        command = ["server", "--store", str(store), "--port", str(port), *(() if key else ("--no-key",))]
        command += arguments
        self.process: Forked | subprocess.Popen[str]
        if installation == scripts.HERE and COMMAND == _FORKED:
            self.process = fork_command(command, store.parent, installation.environment())
        else:
            self.process = subprocess.Popen(
                [installation.python, *COMMAND[1:], *command],
                env=installation.environment(),
                cwd=store.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self.process.stdout is not None
        self.first_lines: list[str] = []
        for line in self.process.stdout:
            self.first_lines.append(line)
            if found := ADDRESS.match(line):
                self.url = found[1]
                break
        else:
            raise AssertionError(f"the server did not start: {self.process.stderr.read()}")  # type: ignore[union-attr]
        self.port = int(self.url.rpartition(":")[2])
        key_file = store / "server.key"
        if key and key_file.exists():  # servers before decision 0004 do not require a key
            self.key = key_file.read_text()
            self.first_lines.append(self.process.stdout.readline())
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors += self.process.stderr

    def again(self) -> Server:
        """Start the next server of this store on the same port."""
        return Server(
            self.store, *self.arguments, port=self.port, key=self.asks, installation=self.installation
        )

    def client(self, **headers: str) -> httpx.Client:
        """Return an HTTP client of the REST API that sends this server's key."""
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60, trust_env=False)

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Stop the server with SIGTERM; return its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        status = self.process.wait(timeout=90)
        self._reader.join(timeout=90)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def read_events(answer: httpx.Response) -> Iterator[Event]:
    """Yield the events of a stream."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            data = json.loads(fields["data"])
            assert int(fields["id"]) == data["revision"]
            yield fields["event"], data["revision"], data
            fields = {}
        else:
            fields = {}


@contextmanager
def serving(
    store: Path,
    *arguments: str,
    port: int = 0,
    key: bool = False,
    installation: scripts.Installation = scripts.HERE,
) -> Iterator[Server]:
    """Run a server for a store inside the context. See ``Server``."""
    server = Server(store, *arguments, port=port, key=key, installation=installation)
    try:
        yield server
    finally:
        server.stop()


def command(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ``tracker``, and return its result."""
    environment = scripts.environment(**variables)
    if COMMAND == _FORKED:
        return run_command(arguments, folder, environment)
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )


def rebuild(store: Path) -> None:
    """Run `tracker rebuild` as soon as the recorder has closed the store."""
    scripts.wait_for(
        lambda: command("rebuild", "--store", str(store), folder=store.parent).returncode == 0,
        "the store",
        60,
    )
