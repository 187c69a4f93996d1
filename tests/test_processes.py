"""Whether a process is alive. The answer is None for a process whose state cannot be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import scripts

from tracker.ground.processes import is_alive, this_process
from tracker.ground.records import Process

LOOK = """
import sys
from tracker.ground.processes import is_alive, this_process
from tracker.ground.records import Process
import msgspec
writers = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Process])
print([is_alive(msgspec.structs.replace(each, namespace=this_process().namespace)) for each in writers])
"""


def test_a_process_that_has_ended_is_dead() -> None:
    assert is_alive(this_process())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    me = this_process()
    ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    process = Process(me.host, me.boot, me.namespace, child.pid, ticks)
    assert is_alive(process)
    assert is_alive(msgspec.structs.replace(process, started=ticks - 1)) is False
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(process) is False  # a zombie
    child.wait()
    assert is_alive(process) is False


def test_a_process_of_another_boot_is_dead_only_if_it_is_silent() -> None:
    """The process may be of this host before a restart, or of another machine with the same name."""
    other = msgspec.structs.replace(this_process(), boot="another")
    assert is_alive(other) is None
    assert is_alive(other, silent=True) is False
    assert is_alive(msgspec.structs.replace(other, host="elsewhere"), silent=True) is None


def test_a_hidden_process_of_another_user_is_not_dead() -> None:
    if os.geteuid() != 0:
        pytest.skip("hiding processes needs root")
    me = this_process()
    gone = subprocess.Popen(["true"])
    gone.wait()
    found = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c"),
            *('mount -t proc -o hidepid=2 proc /proc && exec setpriv "$@"', "sh"),
            *("--reuid", "65534", "--regid", "65534", "--clear-groups"),
            *(sys.executable, "-c", LOOK),
        ],
        input=msgspec.json.encode([me, msgspec.structs.replace(me, pid=gone.pid)]),
        env=scripts.environment(),
        capture_output=True,
        check=False,
    )
    if b"mount" in found.stderr or b"unshare" in found.stderr or b"Permission denied" in found.stderr:
        pytest.skip(f"no process can be hidden here: {found.stderr.decode().strip()}")
    assert found.stdout == b"[None, False]\n", found.stderr
