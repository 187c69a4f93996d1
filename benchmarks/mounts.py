"""Mounts of one folder that do not share file locks, like several hosts: sshfs through an own sshd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def missing() -> str:
    """Return what this machine lacks for mounts, or an empty text."""
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
        port = stack.enter_context(sshd(keys))
        yield (
            stack.enter_context(mount(shared, folder / "a", keys, port)),
            stack.enter_context(mount(shared, folder / "b", keys, port, second_user)),
        )


@contextmanager
def sshd(keys: Path, host: str = "127.0.0.1") -> Iterator[int]:
    """Run an sshd on an address, and yield its port.

    Args:
        keys: An empty folder for its keys and for the user's key.
        host: The address.
    """
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = int(probe.getsockname()[1])
    (keys / "config").write_text(
        f"ListenAddress {host}:{port}\nHostKey {keys / 'host'}\nAuthorizedKeysFile {keys / 'authorized'}\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    with subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(keys / "config")], stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for_port(host, port)
            yield port
        finally:
            process.terminate()


def _wait_for_port(host: str, port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError("sshd does not listen")
        time.sleep(0.05)


@contextmanager
def mount(
    shared: Path,
    point: Path,
    keys: Path,
    port: int,
    user: str = "root",
    host: str = "127.0.0.1",
    prefix: Sequence[str] = (),
) -> Iterator[Path]:
    """Mount a folder with sshfs during the block, and yield the mount point.

    Args:
        shared: The folder.
        point: The mount point, which does not exist.
        keys: The folder with the keys of ``sshd``.
        port: Port of ``sshd``.
        user: The user whose rights the mount has.
        host: Address of ``sshd``.
        prefix: Beginning of the command line of sshfs.
    """
    point.mkdir()
    options = (
        f"port={port},IdentityFile={keys / 'user'},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,"
        "LogLevel=ERROR"
    )
    subprocess.run([*prefix, "sshfs", f"{user}@{host}:{shared}", str(point), "-o", options], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
