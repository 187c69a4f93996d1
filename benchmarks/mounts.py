"""Two mounts of one folder that do not share file locks, like two hosts: sshfs through a loopback sshd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def missing() -> str:
    """Return what this machine lacks for ``two_mounts``, or an empty text."""
    if os.getuid() or not os.path.exists("/dev/fuse") or not (shutil.which("sshfs") and os.path.exists(SSHD)):
        return "needs root, /dev/fuse, sshfs and sshd"
    return ""


@contextmanager
def two_mounts(folder: Path, second_user: str = "root") -> Iterator[tuple[Path, Path]]:
    """Yield two mount points of ``folder/shared``.

    Args:
        folder: An empty folder.
        second_user: The user whose rights root has through the second mount. A user other than root must be
            able to enter ``folder``. Then the mount is like one of NFS with ``root_squash``.
    """
    shared, keys = folder / "shared", folder / "keys"
    shared.mkdir()
    keys.mkdir(mode=0o711)
    with ExitStack() as stack:
        port = stack.enter_context(_sshd(keys))
        yield (
            stack.enter_context(_mount(shared, folder / "a", keys, port)),
            stack.enter_context(_mount(shared, folder / "b", keys, port, second_user)),
        )


@contextmanager
def _sshd(keys: Path) -> Iterator[int]:
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (keys / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys / 'host'}\nAuthorizedKeysFile {keys / 'authorized'}\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(keys / "config")], stderr=subprocess.DEVNULL) as sshd:
        try:
            _wait_for_port(port)
            yield port
        finally:
            sshd.terminate()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError("sshd does not listen")
        time.sleep(0.05)


@contextmanager
def _mount(shared: Path, point: Path, keys: Path, port: int, user: str = "root") -> Iterator[Path]:
    point.mkdir()
    options = (
        f"port={port},IdentityFile={keys / 'user'},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,"
        "LogLevel=ERROR"
    )
    subprocess.run(["sshfs", f"{user}@127.0.0.1:{shared}", str(point), "-o", options], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
