"""The terminal viewer of the real client shows a run of the server."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import Any

import pytest

pytestmark = pytest.mark.wandb_client

LOG = """
import wandb
with wandb.init(project="p", id="viewed") as run:
    for step in range(30):
        run.log({"loss_curve": step})
"""


def test_leet_shows_a_run(own_client: Any) -> None:
    own_client.run(LOG)
    url = f"{own_client.server.url}/local/p/runs/viewed"
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    variables = {"WANDB_BASE_URL": own_client.server.url, "WANDB_API_KEY": "local-" + 40 * "0"}
    process = subprocess.Popen(
        [str(own_client.python), "-m", "wandb", "leet", url],
        cwd=own_client.folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(own_client.folder),
            "TERM": "xterm-256color",
            **variables,
        },
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    shown, end = b"", time.monotonic() + 90
    try:
        while b"loss_curve" not in shown and time.monotonic() < end:
            if select.select([screen], [], [], 1)[0]:
                shown += os.read(screen, 65536)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # also the client's core, which draws
        process.wait(60)
        os.close(terminal)
        os.close(screen)
    assert b"loss_curve" in shown, shown
    # The other command reads only files.
    refused = own_client.command("leet", "inspect", "--summary", url)
    assert "Path does not exist" in refused.stderr
