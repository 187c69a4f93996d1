"""Facts about a run's start: machine, program, arguments, packages, job and container.

They are stored in the files that the wandb client also writes: ``wandb-metadata.json``,
``requirements.txt``, ``diff.patch``, ``conda-environment.yaml``, ``code/...``. Only selected environment
variables are read. Secrets are removed (``tracker.capture.secrets``).
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypedDict

from tracker.capture import cgroup
from tracker.capture.git import Repository, difference, find_repository
from tracker.capture.logs import Logged
from tracker.capture.machine_metrics import memory_total
from tracker.capture.sampler import has_driver
from tracker.capture.secrets import hide, hide_in_address, hide_in_arguments, secret_values

# Variables of Slurm that describe where and how a job runs.
_SLURM = (
    *("CLUSTER_NAME", "JOB_ID", "JOB_NAME", "JOB_PARTITION", "JOB_QOS", "JOB_ACCOUNT", "JOB_NODELIST"),
    *("JOB_NUM_NODES", "JOB_START_TIME", "JOB_END_TIME", "NNODES", "NODELIST", "NODEID", "NTASKS"),
    *("NTASKS_PER_NODE", "TASKS_PER_NODE", "NPROCS", "PROCID", "LOCALID", "STEP_ID", "CPUS_PER_TASK"),
    *(
        "CPUS_ON_NODE",
        "GPUS",
        "GPUS_PER_NODE",
        "GPUS_PER_TASK",
        "GPUS_ON_NODE",
        "MEM_PER_NODE",
        "MEM_PER_CPU",
    ),
    *(
        "MEM_PER_CPU",
        "MEM_PER_GPU",
        "ARRAY_JOB_ID",
        "ARRAY_TASK_ID",
        "ARRAY_TASK_COUNT",
        "RESTART_COUNT",
        "SUBMIT_DIR",
    ),
    "SUBMIT_HOST",
)
# The key below ``_wandb`` of the config that has the names of the run's Slurm jobs as keys.
SLURM_JOBS = "slurm_jobs"
# The largest main script that is stored, in bytes.
LARGEST_SCRIPT = 4 * 1024 * 1024
# The names and addresses of packages are in fewer bytes.
_PIECE = 4096


class Wanted(NamedTuple):
    """The facts to collect.

    Attributes:
        git: The repository and its commit.
        code: The difference to the commit.
        packages: The installed packages.
        script: The main script.
        machine: Processors, memory, disks and GPUs.
        overrides: Values of settings that replace detected facts: host, username, email, program.
    """

    git: bool = True
    code: bool = True
    packages: bool = True
    script: bool = False
    machine: bool = True
    overrides: Mapping[str, str] = MappingProxyType({})


class Fact(NamedTuple):
    """A file with facts: its path in the run, its content and its media type."""

    path: str
    data: bytes
    mimetype: str


class GitFacts(TypedDict):
    """The address of ``origin``, without passwords, and the checked-out commit."""

    remote: str | None
    commit: str | None


class PackageSource(TypedDict, total=False):
    """Where a package was installed from, if not from an index: as in its ``direct_url.json`` (PEP 610).

    Attributes:
        url: Address without passwords; ``file://...`` for a folder.
        vcs: ``"git"`` or another version control system.
        commit: The installed commit.
        subdirectory: The folder of the package in the repository.
        editable: Whether the package is used in its folder.
    """

    url: str
    vcs: str
    commit: str
    subdirectory: str
    editable: bool


class GpuFacts(TypedDict):
    """A GPU: its name, its memory in bytes as a string, and its id."""

    name: str
    memoryTotal: str
    uuid: str


class CpuFacts(TypedDict):
    """Numbers of cores, of logical processors, and of processors that this process may use."""

    count: int | None
    countLogical: int | None
    usable: float


class Metadata(TypedDict, total=False):
    """The content of ``wandb-metadata.json``. The keys are wandb's. An unknown fact is missing or None.

    Attributes:
        startedAt: Start time as ISO 8601 in UTC.
        root: Working folder.
        writerId: Id of the segment that the process writes.
        program: Path of the main script.
        codePath: Path of the main script in its repository, or relative to the working folder.
        codePathLocal: Path of the main script relative to the working folder.
        email: Email address of the committer.
        disk: For each mount point, its ``total`` and ``used`` bytes as strings.
        memory: The ``total`` bytes as a string.
        gpu: Name of the first GPU.
        slurm: Variables of Slurm, in lower case without ``SLURM_``.
        container: ``runtime``, ``image`` and ``orchestrator``, as far as they are known.
        conda: Name or folder of the active conda environment.
        packageSources: By name: the packages that were installed from a folder, a repository or a file.
    """

    os: str
    python: str
    startedAt: str
    args: list[str]
    root: str
    host: str
    executable: str
    writerId: str | None
    username: str
    program: str
    codePath: str
    codePathLocal: str
    git: GitFacts
    email: str
    cpu_count: int | None
    cpu_count_logical: int | None
    disk: dict[str, dict[str, str]]
    memory: dict[str, str]
    cpu: CpuFacts
    gpu: str | None
    gpu_count: int
    gpu_nvidia: list[GpuFacts]
    cudaVersion: str | None
    slurm: dict[str, str]
    container: dict[str, str]
    conda: str
    packageSources: dict[str, PackageSource]


def collect(started: float, writer: str | None, wanted: Wanted) -> Iterator[Fact]:
    """Yield the files with facts about a run's start.

    Args:
        started: When the run started, in Unix seconds.
        writer: The id of the segment that this process writes.
        wanted: The facts to collect.
    """
    secrets = secret_values(os.environ)
    program = find_program()
    folder = os.path.dirname(program) if program and os.path.isfile(program) else os.getcwd()
    repository = find_repository(folder) if wanted.git else None
    described = describe(started, writer, program, repository, secrets, machine=wanted.machine)
    packages = installed_packages() if wanted.packages else []
    if sources := {each.name: each.source for each in packages if each.source is not None}:
        described["packageSources"] = sources
    known = {name: value for name, value in described.items() if value is not None}
    text = json.dumps({**known, **wanted.overrides}, indent=2)
    yield Fact("wandb-metadata.json", text.encode("utf-8", "replace"), "application/json")
    if wanted.packages:
        text = "".join(f"{each.name}=={each.version}\n" for each in packages)
        yield Fact("requirements.txt", text.encode("utf-8", "replace"), "text/plain")
        conda = conda_environment()
        if conda is not None:
            yield Fact("conda-environment.yaml", conda.encode("utf-8", "replace"), "application/yaml")
    if wanted.code and repository is not None and (patch := difference(repository)):
        text = hide(patch.decode("utf-8", "surrogateescape"), secrets)
        yield Fact("diff.patch", text.encode("utf-8", "surrogateescape"), "text/x-diff")
    is_file = program is not None and os.path.isfile(program)
    if wanted.script and program is not None and is_file and os.path.getsize(program) <= LARGEST_SCRIPT:
        path = _code_path(program, repository)
        yield Fact(f"code/{path}", Path(program).read_bytes(), "text/x-python")


def describe(
    started: float,
    writer: str | None,
    program: str | None,
    repository: Repository | None,
    secrets: list[str],
    *,
    machine: bool,
) -> Metadata:
    """Return the content of ``wandb-metadata.json``. The file leaves out the facts that are None.

    Args:
        started: When the run started, in Unix seconds.
        writer: The id of the segment that this process writes.
        program: The path of the main script.
        repository: The program's repository.
        secrets: Values to remove from the arguments.
        machine: Whether to describe processors, memory, disks and GPUs.
    """
    found: Metadata = {
        "os": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "startedAt": datetime.fromtimestamp(started, timezone.utc).isoformat().replace("+00:00", "Z"),
        "args": hide_in_arguments(sys.argv[1:], secrets),
        "root": os.getcwd(),
        "host": platform.node(),
        "executable": sys.executable,
        "writerId": writer,
    }
    with suppress(OSError, KeyError, ImportError):  # the user has no name
        found["username"] = getpass.getuser()
    if program is not None:
        found["program"] = program
        found["codePath"] = _code_path(program, repository)
        found["codePathLocal"] = os.path.relpath(program) if os.path.isabs(program) else program
    if repository is not None:
        found["git"] = {"remote": repository.remote, "commit": repository.commit}
        if repository.email:
            found["email"] = repository.email
    if machine:
        with Logged("describe the machine"):
            found.update(_describe_machine())
    with Logged("describe the Slurm job"):
        if slurm := slurm_facts():
            found["slurm"] = slurm
    with Logged("describe the container"):
        if container := _container():
            found["container"] = container
    if os.environ.get("CONDA_PREFIX"):
        found["conda"] = os.environ.get("CONDA_DEFAULT_ENV") or os.environ["CONDA_PREFIX"]
    return found


def find_program() -> str | None:
    """Return the full path of the main script or module, or None without one, as in a notebook."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None) or (sys.argv[0] if sys.argv else None)
    if not path or path == "-c" or "ipykernel" in path:
        return os.environ.get("WANDB_NOTEBOOK_NAME") or None
    return os.path.abspath(path)


class Package(NamedTuple):
    """An installed package. ``source`` is None if it comes from an index."""

    name: str
    version: str
    source: PackageSource | None


def installed_packages() -> list[Package]:
    """Return the installed packages, sorted by name. The first on the path counts."""
    found: dict[str, Package] = {}
    for folder in dict.fromkeys(path or os.getcwd() for path in sys.path):
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.endswith(".dist-info"):
                    continue
                name, _, version = entry.name.removesuffix(".dist-info").partition("-")
                if version:
                    name = _name_in(os.path.join(entry.path, "METADATA")) or name
                    key = name.lower().replace("_", "-")
                    if key not in found:
                        found[key] = Package(name, version, _source_of(entry.path))
    return [found[key] for key in sorted(found)]


def _source_of(folder: str) -> PackageSource | None:
    """Return where a package was installed from; None for an index."""
    try:
        noted = json.loads(_beginning_of(os.path.join(folder, "direct_url.json")))
        found: PackageSource = {"url": hide_in_address(str(noted["url"]))}
        if isinstance(vcs := noted.get("vcs_info"), dict):
            found["vcs"], found["commit"] = str(vcs["vcs"]), str(vcs["commit_id"])
        if subdirectory := noted.get("subdirectory"):
            found["subdirectory"] = str(subdirectory)
        if isinstance(local := noted.get("dir_info"), dict) and local.get("editable"):
            found["editable"] = True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found


def _name_in(metadata: str) -> str | None:
    with suppress(OSError):
        for line in _beginning_of(metadata).split(b"\n"):
            if line.startswith(b"Name: "):
                return line[6:].decode("utf-8", "replace").strip()
    return None


def _beginning_of(path: str) -> bytes:
    """Return the first bytes of a file. ``open`` takes five times as long, for two files of each package."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _PIECE)
    finally:
        os.close(descriptor)


def conda_environment() -> str | None:
    """Return the active conda environment in the form of ``conda env export``, or None without one."""
    prefix = os.environ.get("CONDA_PREFIX")
    if not prefix:
        return None
    packages = []
    with suppress(OSError):
        for path in sorted(Path(prefix, "conda-meta").glob("*.json")):
            name, version, build = (["", "", *path.stem.rsplit("-", 2)])[-3:]
            packages.append(f"  - {name}={version}={build}\n")
    name = os.environ.get("CONDA_DEFAULT_ENV") or os.path.basename(prefix)
    return f"name: {json.dumps(name)}\ndependencies:\n{''.join(packages)}" if packages else None


def _code_path(program: str, repository: Repository | None) -> str:
    base = repository.root if repository is not None else os.getcwd()
    path = os.path.relpath(program, base) if os.path.isabs(program) else program
    return os.path.basename(program) if path.startswith("..") else path


def _describe_machine() -> Metadata:
    """Return the facts about processors, disks, memory and GPUs."""
    state = os.statvfs("/")
    used = (state.f_blocks - state.f_bfree) * state.f_frsize
    found: Metadata = {
        "cpu_count": _cores() or os.cpu_count(),
        "cpu_count_logical": os.cpu_count(),
        "disk": {"/": {"total": str(state.f_blocks * state.f_frsize), "used": str(used)}},
        "memory": {"total": str(memory_total())},
        "cpu": {"count": _cores() or os.cpu_count(), "countLogical": os.cpu_count(), "usable": cgroup.cpus()},
    }
    if has_driver():
        from tracker.capture.nvml import Cards

        with Logged("describe the GPUs"):
            cards = Cards()
            listed = cards.describe()
            found["gpu"] = listed[0].name if listed else None
            found["gpu_count"] = cards.count
            found["gpu_nvidia"] = [
                {"name": each.name, "memoryTotal": each.memory_total, "uuid": each.uuid} for each in listed
            ]
            found["cudaVersion"] = cards.cuda_version()
    return found


def _cores() -> int:
    """Return the number of physical cores, or 0 if it is unknown."""
    cores = set()
    for block in Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n"):
        fields = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in block.splitlines())
        }
        if "core id" in fields:
            cores.add((fields.get("physical id"), fields["core id"]))
    return len(cores)


def slurm_jobs() -> list[str]:
    """Return the names of the Slurm job of this process: its id, and those of its array (``7``, ``7_2``)."""
    found = slurm_facts()
    jobs = [found.get("job_id"), array := found.get("array_job_id")]
    if array and "array_task_id" in found:
        jobs.append(f"{array}_{found['array_task_id']}")
    return [job for job in jobs if job]


def slurm_facts() -> dict[str, str]:
    """Return the variables of Slurm that are set, in lower case without ``SLURM_``."""
    return {name.lower(): os.environ[f"SLURM_{name}"] for name in _SLURM if os.environ.get(f"SLURM_{name}")}


def _container() -> dict[str, str]:
    """Return facts about the container of this process. Without a container, return an empty dict."""
    found: dict[str, str] = {}
    if os.path.exists("/.dockerenv"):
        found["runtime"] = "docker"
    elif os.path.exists("/run/.containerenv"):
        found["runtime"] = "podman"
    for name in ("APPTAINER", "SINGULARITY"):
        if os.environ.get(f"{name}_CONTAINER"):
            found.update(runtime=name.lower(), image=os.environ[f"{name}_CONTAINER"])
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        found["orchestrator"] = "kubernetes"
    image = os.environ.get("TRACKER_DOCKER") or os.environ.get("WANDB_DOCKER")
    if image:
        found["image"] = hide(image)
    return found
