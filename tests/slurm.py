"""A real Slurm with one node: munge, the controller and the daemon of the node, on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
# The time between SIGTERM and SIGKILL at the end of a job.
KILL_SECONDS = 5
_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait={kill_seconds}
SchedulerParameters=sched_interval=1,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Return why a Slurm cannot be started here; None if it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        return "needs root"
    return f"needs {', '.join(absent)} (apt-get install slurm-wlm munge)" if absent else None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a Slurm whose files are in ``folder``; yield the variables for its commands."""
    host = socket.gethostname().partition(".")[0]
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    config = folder / "slurm.conf"
    config.write_text(
        _CONFIG.format(host=host, ports=_free_ports(2), folder=folder, kill_seconds=KILL_SECONDS)
    )
    key = folder / "munge.key-file"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    variables = {"SLURM_CONF": str(config)}
    environment = os.environ | variables
    with ExitStack() as stack:
        for command in (
            ["munged", "--foreground", "--force", *_munge_files(folder)],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-N", host],
        ):
            with (folder / f"{command[0]}.out").open("wb") as output:
                daemon = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            stack.callback(_stop, daemon)
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, "munge")
        wait_for(lambda: "idle" in _output(environment, "sinfo"), "an idle node")
        try:
            yield variables
        finally:  # the processes of jobs do not end with the daemons
            _output(environment, "scancel", "--signal=KILL", "--full", "--user=root")
            _output(environment, "scancel", "--user=root")
            wait_for(lambda: not _output(environment, "squeue", "--noheader"), "the end of all jobs")


def _munge_files(folder: Path) -> list[str]:
    options = ("key-file", "socket", "pid-file", "seed-file", "log-file")
    return [f"--{option}={folder}/munge.{option}" for option in options]


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _output(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
