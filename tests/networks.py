"""Hosts with their own network and host name on this machine: network namespaces that are joined by a bridge.

The bridge is in a namespace of its own, where the server runs. Nothing is added to the machine's own network.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import pytest

SERVER = "198.18.0.1"  # of the range for tests of networks (RFC 2544)
_NETWORK_NAMESPACE = 0x40000000  # CLONE_NEWNET


class Host(NamedTuple):
    """A host of the network.

    Attributes:
        name: Its host name, which is also the name of its namespace.
        port: The port of the bridge that its cable is in.
    """

    name: str
    port: str

    @property
    def prefix(self) -> list[str]:
        """Beginning of a command line that runs a command on this host."""
        enter = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--uts"]
        return [*enter, "sh", "-c", 'hostname "$0" && exec "$@"', self.name]


class Network:
    """A network of hosts. The hub is the host of the server.

    Attributes:
        hub: Namespace of the hub.
        hosts: The other hosts.
    """

    def __init__(self, hub: str, hosts: list[Host]) -> None:
        self.hub = hub
        self.hosts = hosts

    def cut(self, host: Host) -> None:
        """Pull the cable of a host out of the bridge."""
        _ip("-n", self.hub, "link", "set", host.port, "down")

    def join(self, host: Host) -> None:
        """Put the cable back."""
        _ip("-n", self.hub, "link", "set", host.port, "up")


@contextmanager
def network(count: int) -> Iterator[Network]:
    """Yield a network with this number of hosts. The calling thread and its children are on the hub.

    At the end, kill the processes on the hosts and remove everything. Skip the test without the rights.
    """
    if os.getuid() or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        pytest.skip("needs root, ip, nsenter and unshare")
    hub = f"hub{os.getpid()}"
    hosts = [Host(f"node{os.getpid()}-{at}", f"port{at}") for at in range(count)]
    with ExitStack() as stack:
        _add_namespace(stack, hub)
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "addr", "add", f"{SERVER}/24", "dev", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for at, (name, port) in enumerate(hosts):
            _add_namespace(stack, name)
            _ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", hub, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"198.18.0.{at + 2}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        stack.enter_context(_inside(hub))
        yield Network(hub, hosts)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _add_namespace(stack: ExitStack, name: str) -> None:
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"needs the right to add a network namespace: {made.stderr}")
    stack.callback(_remove_namespace, name)
    _ip("-n", name, "link", "set", "lo", "up")


def _remove_namespace(name: str) -> None:
    for process in _ip("netns", "pids", name).split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    _ip("netns", "del", name)


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """Move the calling thread into a network namespace during the block."""
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(namespace: int) -> None:
    # os.setns exists since Python 3.12
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, _NETWORK_NAMESPACE):
        raise OSError(ctypes.get_errno(), "setns failed")
