"""The first steps on a machine without a network: log, list, serve. ``test_package.py`` runs this script."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import tracker
from tracker.version import __version__

COMMAND = [str(Path(sys.executable).with_name("tracker"))]


def command(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    """Run all steps."""
    try:
        socket.create_connection(("192.0.2.1", 443), timeout=5)
    except OSError as error:
        assert "unreachable" in str(error), error
    else:
        raise AssertionError("This machine has a route out.")
    assert command("--version") == f"tracker {__version__}\n"
    with tracker.init(project="offline", id="first") as run:
        run.log({"loss": 0.5})
    (found,) = json.loads(command("ls", "-p", "offline", "--json"))["runs"]
    assert (found["id"], found["state"]) == ("first", "finished")
    server = subprocess.Popen([*COMMAND, "server", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        url = next(word for line in lines for word in line.split() if word.startswith("http://"))
        with urllib.request.urlopen(f"{url}/api/v1/health", timeout=30) as answer:
            assert json.load(answer)["status"] == "ok"
        with urllib.request.urlopen(url, timeout=30) as page:
            assert b"<script" in page.read()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) in (0, -signal.SIGTERM)
    print("everything works without a route")


if __name__ == "__main__":
    main()
