"""Tests of the image and the compose file: build, start, log a run from outside, take down, start again.

They need a container engine. `tests/containers/engine.sh` starts one where none runs (see `.ci/run`).
"""

import argparse
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tracker.cli import airgap_archive

ROOT = Path(__file__).resolve().parents[2]
KEY_LINE = re.compile(r"API key \(shown once\): (local-[0-9a-f]{40})")
PROJECT = "compose"

pytestmark = pytest.mark.containers

# A training script as a user writes it, without any reference to containers.
TRAINING = """
    import pathlib
    import tracker

    run = tracker.init(project="compose", name="from outside", config={"lr": 0.25, "net": {"depth": 3}})
    for step in range(50):
        run.log({"loss": 1 / (step + 1), "nested/value": -step})
    try:
        from PIL import Image
    except ImportError:
        pass
    else:
        run.log({"sample": tracker.Image(Image.new("RGB", (8, 4), (250, 10, 20)), caption="red")})
    pathlib.Path("weights.bin").write_bytes(bytes(range(256)) * 1000)
    artifact = tracker.Artifact("model", type="model", metadata={"kind": "test"})
    artifact.add_file("weights.bin")
    run.log_artifact(artifact)
    run.finish()
    print("RUN", run.entity, run.id)
"""


@dataclass
class Service:
    """The compose service with its own project name, image name and port."""

    name: str = field(default_factory=lambda: f"tracker-test-{uuid.uuid4().hex[:8]}")
    port: int = field(default_factory=lambda: free_port())
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: str) -> str:
        """Run docker compose with these arguments and return its output."""
        settings = {"TRACKER_PORT": f"127.0.0.1:{self.port}", "TRACKER_IMAGE": self.name}
        return run(
            [*compose_command(), "-p", self.name, *arguments], cwd=ROOT, env={**os.environ, **settings}
        )

    def container(self) -> str:
        return self.command("ps", "-q", "tracker").strip()

    def inspect(self, what: str, container: str = "") -> str:
        return run(["docker", "inspect", "--format", what, container or self.container()]).strip()

    def inside(self, *arguments: str) -> str:
        return run(["docker", "exec", self.container(), *arguments])

    def logs(self) -> str:
        return run(["docker", "logs", self.container()])

    def volumes(self) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        return run(["docker", "volume", "ls", "--quiet", "--filter", label]).split()

    def start(self) -> None:
        """Start the service in the background and wait until it is healthy."""
        self.command("up", "-d")
        try:
            until(lambda: self.inspect("{{.State.Health.Status}}") == "healthy", "the health check")
        except TimeoutError:
            pytest.fail(f"{self.inspect('{{json .State}}')}\n{self.logs()}")

    def get(
        self, path: str, key: str | None = None, method: str = "GET", body: Any = None
    ) -> tuple[int, bytes]:
        """Send one request from outside; return the status and the body."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with direct.open(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def read(self, path: str) -> bytes:
        status, body = self.get(path, self.key)
        assert status == 200, (path, status, body)
        return body

    def json(self, path: str) -> Any:
        return json.loads(self.read(path))


# Ignore proxies from the environment: the tests connect only to this machine.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(command: list[str], **options: Any) -> str:
    """Run a command and return its output; fail the test if the command fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def compose_command() -> list[str]:
    """Return the command docker-compose, or the compose plugin of newer engines."""
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until a condition is true, or raise TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Build the service from this tree, and start it for the first time, on an empty volume."""
    it = Service()
    it.command("build")
    try:
        it.start()
        keys = KEY_LINE.findall(it.logs())
        assert len(keys) == 1, it.logs()
        assert it.logs().count("\nsign in as admin (once, within 15 minutes; ") == 1
        it.key = keys[0]
        yield it
    finally:
        it.command("down", "--volumes", "--rmi", "all")
    assert it.volumes() == []


def train(service: Service, folder: Path) -> tuple[str, str]:
    """Run the training script outside the container and send everything; return the run's entity and id."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "WANDB_"))
    }
    environment |= {
        "TRACKER_BASE_URL": service.url,
        "TRACKER_API_KEY": service.key,
        "TRACKER_STORE": str(folder / "store"),
        "HOME": str(folder),
        "no_proxy": "127.0.0.1",
    }
    output = run([sys.executable, "-c", textwrap.dedent(TRAINING)], cwd=folder, env=environment)
    run([str(Path(sys.executable).with_name("tracker")), "sync"], cwd=folder, env=environment)
    found = re.search(r"^RUN (\S+) (\S+)$", output, re.M)
    assert found, output
    return found[1], found[2]


def chart(service: Service, run_path: str, key: str) -> tuple[list[float], list[float]]:
    """Return the points of one metric."""
    body = service.read(f"{run_path}/chart?key={key}&points=1000")
    length = struct.unpack_from("<I", body)[0]
    header = json.loads(body[4 : 4 + length])
    (series,) = header["series"]
    assert series["kind"] == "points"
    columns = [
        list(struct.unpack_from(f"<{series['length']}d", body, 4 + length + series["offsets"][name]))
        for name in ("x", "y")
    ]
    return columns[0], columns[1]


def assert_run_is_there(service: Service, entity: str, run_id: str) -> None:
    """Check over REST that everything from the training script is there."""
    project = f"/api/v1/projects/{entity}/{PROJECT}"
    assert [found["id"] for found in service.json(f"{project}/runs")["runs"]] == [run_id]
    run_path = f"{project}/runs/{run_id}"
    found = service.json(run_path)
    assert found["state"] == "finished"
    assert found["name"] == "from outside"
    assert found["config"]["lr"] == 0.25
    assert found["config"]["net"] == {"depth": 3}
    assert found["problems"] == []

    steps, losses = chart(service, run_path, "loss")
    assert steps == list(range(50))
    assert losses == [1 / (step + 1) for step in range(50)]
    assert chart(service, run_path, "nested%2Fvalue")[1] == [-step for step in range(50)]

    (artifact,) = service.json(f"{project}/artifacts?run={run_id}")["artifacts"]
    assert (artifact["name"], artifact["version"], artifact["metadata"]) == ("model", "v0", {"kind": "test"})
    (file,) = service.json(f"{project}/artifacts/model/latest/files")["files"]
    assert file["path"] == "weights.bin"
    assert service.read(file["url"]) == bytes(range(256)) * 1000

    if pillow_is_there():
        from PIL import Image

        (step,) = service.json(f"{run_path}/objects?key=sample")["steps"]
        item = step["value"]
        assert (item["caption"], item["width"], item["height"]) == ("red", 8, 4)
        with Image.open(io.BytesIO(service.read(item["url"]))) as image:
            assert image.size == (8, 4)
            assert image.convert("RGB").getpixel((0, 0)) == (250, 10, 20)


def pillow_is_there() -> bool:
    try:
        import PIL  # noqa: F401
    except ImportError:
        return False
    return True


def test_service_requires_the_key(service: Service) -> None:
    status, body = service.get("/api/v1/health")
    assert status == 200
    assert json.loads(body)["status"] == "ok"
    session = json.loads(service.get("/api/v1/session")[1])
    assert (session["key_required"], session["signed_in"], session["has_users"]) == (True, False, True)
    assert service.json("/api/v1/session")["user"] == "admin"
    wrong = "local-" + "0" * 40
    for key in (None, wrong, service.key[:-1], ""):
        status, body = service.get("/api/v1/projects", key)
        assert status == 401, (key, body)
        assert set(json.loads(body)["error"]) == {"code", "message"}
    assert service.get("/api/v1/session", method="POST", body={"key": wrong})[0] == 401
    assert service.get("/api/v1/session", method="POST", body={"key": service.key})[0] == 204
    assert "projects" in service.json("/api/v1/projects")


def test_image_contains_the_dashboard(service: Service) -> None:
    status, body = service.get("/")
    assert status == 200
    page = body.decode()
    scripts = re.findall(r'src="([^"]+\.js)"', page)
    assert scripts, page
    for script in scripts:
        assert script.startswith(("/", "./", "assets/")), script
        status, body = service.get("/" + script.lstrip("./"))
        assert status == 200
        assert len(body) > 1000


def test_the_image_has_the_licences_of_other_projects(service: Service) -> None:
    python = service.inside("cat", "/opt/tracker/THIRD-PARTY-LICENSES.txt")
    for name in ("fastapi", "pyarrow", "SQLAlchemy", "uvicorn"):
        assert re.search(rf"^## {name} ", python, re.MULTILINE | re.IGNORECASE), name
    found = "import server, pathlib; print(*pathlib.Path(server.__file__).parent.glob('static/third-party*'))"
    assert "third-party-licenses.md" in service.inside("python", "-c", found)


def test_the_image_adds_at_most_320_mb_to_its_base(service: Service) -> None:
    sizes = [
        int(run(["docker", "image", "inspect", "--format", "{{.Size}}", image]))
        for image in (service.name, base_image())
    ]
    assert 0 < sizes[0] - sizes[1] <= 320_000_000, sizes


def test_an_archive_contains_the_image(service: Service, tmp_path: Path) -> None:
    image = f"{service.name}:packed"
    run(["docker", "tag", service.name, image])
    options = argparse.Namespace(python=["3.11"], extras=[], image=image)
    engine = airgap_archive.find_engine(image)
    airgap_archive.save_image(engine, image, tmp_path / "image.tar.gz")
    airgap_archive.write_installer(tmp_path, options)
    airgap_archive.write_manifest(tmp_path)
    print(f"the image, compressed: {(tmp_path / 'image.tar.gz').stat().st_size:,} bytes")
    run(["docker", "image", "rm", image])

    run(["sh", str(tmp_path / "install.sh"), "--image"])
    packed, built = (
        run(["docker", "image", "inspect", "--format", "{{.Id}}", each]) for each in (image, service.name)
    )
    run(["docker", "image", "rm", image])
    assert packed == built


def base_image() -> str:
    found = re.search(r"^ARG BASE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    return os.environ.get("TRACKER_BASE_IMAGE") or found[1]


def test_service_runs_without_root_on_a_read_only_file_system(service: Service) -> None:
    ids = service.inside("python", "-c", "print(*open('/proc/1/status'))")
    assert re.search(r"Uid:\s+10001\s+10001\s+10001\s+10001", ids), ids
    assert re.search(r"CapEff:\s+0+\n", ids), ids
    processes = run(["docker", "top", service.container(), "-eo", "uid,pid,args"]).splitlines()[1:]
    assert processes
    assert {line.split()[0] for line in processes} == {"10001"}, processes
    assert service.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"
    assert (
        service.inside("sh", "-c", "touch /etc/x 2>/dev/null || touch /opt/tracker/x 2>/dev/null || echo no")
        == "no\n"
    )


def test_run_survives_the_container(service: Service, tmp_path: Path) -> None:
    entity, run_id = train(service, tmp_path)
    assert_run_is_there(service, entity, run_id)
    first = service.container()

    service.command("down")
    assert len(service.volumes()) == 1
    service.start()

    assert service.container() != first
    assert "local-" not in service.logs()
    assert service.get("/api/v1/projects")[0] == 401
    assert_run_is_there(service, entity, run_id)


def test_service_restarts_after_a_crash(service: Service) -> None:
    # The server is the only child of the init process, which has process id 1.
    service.inside("sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
    until(lambda: service.inspect("{{.RestartCount}} {{.State.Health.Status}}") == "1 healthy", "the restart")
    assert service.json("/api/v1/projects")["projects"]
    assert service.get("/api/v1/projects")[0] == 401


def test_service_stops_on_request(service: Service) -> None:
    container = service.container()
    run(["docker", "stop", "--time", "30", container])
    # The server handled the signal: it was neither killed (137) nor did it fail.
    assert service.inspect("{{.State.ExitCode}}", container) in ("0", "143")
