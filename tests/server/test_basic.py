"""Tests of keys in HTTP Basic and in ``.netrc``, with curl, requests and tracker's own client."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import scripts
from serving import Server, serving

CURL = shutil.which("curl")
LOG = """
import tracker
run = tracker.init(project="sent", id="one")
run.log({"x": 1})
run.finish()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that requires a key."""
    with serving(tmp_path_factory.mktemp("served") / "tracker-store", key=True) as found:
        yield found


def curl(server: Server, *arguments: str) -> tuple[int, dict[str, object]]:
    """Return the status and the answer to curl's request for who the caller is."""
    assert CURL is not None
    command = [CURL, "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run(
        [*command, f"{server.url}/api/v1/projects"], capture_output=True, text=True, check=True, timeout=60
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


@pytest.mark.skipif(CURL is None, reason="curl is missing. Run: apt-get install curl")
@pytest.mark.parametrize("user", ["api", "user", "ada", ""])
def test_curl_with_a_key_as_password(server: Server, user: str, tmp_path: Path) -> None:
    assert curl(server, "--user", f"{user}:{server.key}") == (200, {"projects": []})
    status, answer = curl(server, "--user", f"{user}:local-{'0' * 40}")
    assert status == 401
    assert answer["detail"] == (
        "Invalid API key. Check TRACKER_API_KEY. `tracker key` on the server creates a key."
    )
    if user:  # curl's file names a host without its port
        file = tmp_path / "netrc"
        file.write_text(f"machine 127.0.0.1\n  login {user}\n  password {server.key}\n")
        assert curl(server, "--netrc-file", str(file))[0] == 200


def test_colon_in_the_key_part_is_part_of_the_key(server: Server) -> None:
    for text in (f"api:{server.key}:", f"api::{server.key}", f"{server.key}", f"api:{server.key}\n"):
        header = f"Basic {base64.b64encode(text.encode()).decode()}"
        with server.client(Authorization=header) as client:
            assert client.get("/projects").status_code == 401, text


def test_requests_finds_the_key_in_netrc_as_wandb_does(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1\n  login user\n  password {server.key}\n")
    assert requests.get(f"{server.url}/api/v1/projects", timeout=60).status_code == 200


def test_own_client_finds_the_key_in_netrc(server: Server, tmp_path: Path) -> None:
    netloc = server.url.removeprefix("http://")
    home = {"NETRC": "", "HOME": str(tmp_path), "TRACKER_CONFIG_DIR": str(tmp_path / "config")}
    # The form that `wandb login` writes.
    (tmp_path / ".netrc").write_text(f"machine {netloc}\n  login user\n  password {server.key}\n")
    scripts.run(LOG, tmp_path, TRACKER_BASE_URL=server.url, **home)
    with server.client() as client:
        scripts.wait_for(
            lambda: client.get("/projects/local/sent/runs/one").status_code == 200, "the run on the server"
        )
    # A key belongs to its host and port: it is not sent to another server of the same machine.
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1\n  login user\n  password {server.key}\n")
    code = "import tracker; tracker.Api().run('local/sent/one')"
    refused = scripts.run(code, tmp_path, check=False, TRACKER_BASE_URL=server.url, **home)
    assert "API key missing" in refused.stderr
