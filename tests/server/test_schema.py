"""Requests that are generated from the OpenAPI document, valid and invalid ones, for every operation.

No request makes the server fail, and each answer has the documented status, media type and content. A new
route is tested without a change here. If its parameters name objects, add names of objects to ``known``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logged import log_everything
from serving import Server, serving

import tracker
from server.app import describe
from tracker.ground import values

# The document does not describe what a text must contain, for example the name of a journal.
LEFT_OUT = "positive_data_acceptance,ignored_auth,missing_required_header"
# In a query every value is a text, so random values of a wrong type can be valid.
LEFT_OUT_OF_RANDOM = f"{LEFT_OUT},negative_data_rejection"
# Generated texts are often one of these.
ODD = ["\x00", "🙂", "NaN", "..", "%2e%2e/x", "'", '"', "v0", "config.", "_step", str(2**64), "1e999", "-"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis needs Python 3.11"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield the server of a store with every kind of data, which the test changes."""
    log_everything(tmp_path)
    tracker.Api({"store": tmp_path / "tracker-store"})
    with serving(tmp_path / "tracker-store") as server:
        yield server


def known(server: Server) -> dict[str, list[Any]]:
    """Return values of parameters by name that name objects in the store."""
    with server.client() as api:

        def get(path: str) -> Any:
            return values.loads(api.get(f"/projects/team/demo/{path}").raise_for_status().content)

        run = get("runs/everything")
        versions = get("artifacts")["artifacts"]
        files = [
            file
            for each in versions
            for file in get(f"artifacts/{each['name']}/{each['version']}/files")["files"]
        ]
        return {
            "entity": ["team"],
            "project": ["demo", "demo", "demo", "many"],
            "run_id": ["everything", "everything", *(each["id"] for each in get("runs")["runs"])],
            "run": ["everything"],
            "segment": [each["id"] for each in run["segments"]],
            "name": [each["name"] for each in versions],
            "reference": ["v0", "v1", "best", "latest", versions[0]["digest"]],
            "type": [each["type"] for each in versions],
            "sha256": [file["sha256"] for file in files],
            "path": [file["path"] for file in [*get("runs/everything/files")["files"], *files]],
            "key": [each["key"] for each in run["keys"]],
            "x": ["_step", "_runtime", "epoch"],
            "order": ["name", "-summary.train/loss", "config.lr", "-duration", "summary.best"],
            "filters": [
                '{"config.lr": {"$gte": 0.01}}',
                '{"$or": [{"tags": "one"}, {"name": {"$regex": "u"}}]}',
            ],
        }


def configuration(names: dict[str, list[Any]]) -> str:
    """Return the settings of schemathesis, as TOML."""
    dictionaries = {**names, "words": [*names["key"], *ODD]}
    lines = [
        'suppress-health-check = ["all"]',
        'phases.coverage.unexpected-methods = ["get", "put", "options"]',
        "[generation]",
        "deterministic = true",
        'database = "none"',
        'dictionaries.string = { dictionary = "words", probability = 0.3 }',
        *(
            f"[dictionaries.{name}]\nvalues = {json.dumps(each, ensure_ascii=False)}"
            for name, each in dictionaries.items()
        ),
        "[parameters]",
        "timeout = 0",  # do not wait for changes
        *(f'{name} = {{ dictionary = "{name}", probability = 0.8 }}' for name in names if name != "key"),
    ]
    return "\n".join(lines)


def without_tuples(value: Any) -> Any:
    """Return the document without ``prefixItems``, from which schemathesis makes an invalid schema."""
    if isinstance(value, dict):
        return {key: without_tuples(item) for key, item in value.items() if key != "prefixItems"}
    return [without_tuples(item) for item in value] if isinstance(value, list) else value


def ask_everything(server: Server, folder: Path, *options: str) -> str:
    """Send generated requests to all operations; return the report. Fail if an answer is wrong."""
    (folder / "openapi.json").write_text(json.dumps(without_tuples(describe())))
    (folder / "settings.toml").write_text(configuration(known(server)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "settings.toml", "run"]
    done = subprocess.run(
        [*command, "openapi.json", "--url", server.url, "--no-color", *options],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{''.join(server.errors)}"
    assert not [line for line in server.errors if "Invalid HTTP request" not in line]
    return done.stdout


@pytest.mark.slow
def test_limits_of_every_parameter(server: Server, tmp_path: Path) -> None:
    """Each parameter and field at and beyond its limits, and each path with methods that it does not have."""
    report = ask_everything(server, tmp_path, "--phases", "coverage", "--exclude-checks", LEFT_OUT)
    assert f"Tested: {sum(map(len, describe()['paths'].values()))}" in report


@pytest.mark.nightly
def test_random_requests_and_sequences(server: Server, tmp_path: Path) -> None:
    """Random values, and sequences of requests that use values of earlier answers."""
    report = ask_everything(
        server,
        tmp_path,
        *("--phases", "fuzzing,stateful", "--max-examples", "40", "--exclude-checks", LEFT_OUT_OF_RANDOM),
    )
    found = re.search(r"API Links: +(\d+) covered", report)
    assert found is not None
    assert int(found[1]) >= 2, report
