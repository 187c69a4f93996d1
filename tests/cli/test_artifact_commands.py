"""Tests of ``tracker artifact`` and ``tracker gc``: output, effects and errors."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from serving import command, serving

import tracker
from tracker.cli.main import main
from tracker.ground import launch

LARGE = 400_000


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(os.urandom(LARGE))
    (folder / "deep" / "note.txt").write_text("small")
    return tmp_path


def succeed(folder: Path, *arguments: str) -> str:
    done = command(*arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def fail(folder: Path, words: str, *arguments: str) -> None:
    done = command(*arguments, folder=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("tracker: ")
    assert words in line


def blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "tracker-store" / "blobs").rglob("*") if path.is_file()]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in blobs(folder))


@pytest.mark.slow
def test_artifact_commands_from_put_to_gc(files: Path) -> None:
    put = ("artifact", "put", "--project", "p", "--type", "model")
    assert (
        succeed(files, *put, "model", "files", "--alias", "best", "--alias", "mine") == "local/p/model:v0\n"
    )
    assert succeed(files, *put, "model", "files") == "local/p/model:v0\n"  # the same content
    (files / "other.bin").write_bytes(os.urandom(LARGE))
    made = succeed(files, *put, "model", "files", "other.bin", "--description", "with another")
    assert made == "local/p/model:v1\n"

    folder = succeed(files, "artifact", "get", "p/model:best").strip()
    assert (files / folder / "deep" / "note.txt").read_text() == "small"
    succeed(files, "artifact", "get", "p/model", "--root", "out")
    assert (files / "out" / "files" / "weights.bin").stat().st_size == LARGE
    assert (files / "out" / "other.bin").read_bytes() == (files / "other.bin").read_bytes()

    listed = succeed(files, "artifact", "ls", "p/model").splitlines()
    assert listed[0].split() == ["VERSION", "SIZE", "FILES", "CREATED", "ALIASES"]
    assert [line.split()[0] for line in listed[1:]] == ["v1", "v0"]
    assert listed[2].endswith("best, mine")
    assert "400.0 kB" in listed[2]
    for what in ((), ("p",), ("local/p",)):
        (heading, line) = succeed(files, "artifact", "ls", *what).splitlines()
        assert heading.split()[:2] == ["NAME", "TYPE"]
        assert line.split()[:4] == ["local/p/model", "model", "2", "v1"]
    told = json.loads(succeed(files, "artifact", "ls", "p/model", "--json"))
    assert [(each["version"], each["aliases"]) for each in told] == [
        ("v1", ["latest"]),
        ("v0", ["best", "mine"]),
    ]
    assert told[0]["description"] == "with another"

    assert "has the aliases" not in succeed(files, "artifact", "alias", "p/model:v1", "best")
    fail(files, "has the aliases mine", "artifact", "rm", "p/model:v0")
    succeed(files, "artifact", "alias", "p/model:v0", "mine", "--remove")
    before = size(files)
    assert "local/p/model:v0 deleted" in succeed(files, "artifact", "rm", "p/model:v0")
    assert "grace period of 1d" in succeed(files, "gc")
    assert size(files) == before
    planned = succeed(files, "gc", "--grace", "0", "--dry-run")
    assert planned.splitlines()[-1].endswith("would be freed")
    assert size(files) == before
    done = succeed(files, "gc", "--grace", "0")
    assert "of local/p/model:v0, which is deleted" in done
    assert done.splitlines()[-1] == planned.splitlines()[-1].replace("would be freed", "freed")
    assert size(files) < before
    fail(files, "has the aliases best", "artifact", "rm", "p/model:latest")
    succeed(files, "artifact", "rm", "p/model:latest", "--aliases")
    freed = json.loads(succeed(files, "gc", "--grace", "0", "--json"))
    assert freed["bytes"] == sum(item["bytes"] for item in freed["items"]) > 2 * LARGE
    assert blobs(files) == []
    fail(files, "No artifact or project 'p/model' exists", "artifact", "ls", "p/model")


@pytest.mark.slow
def test_verify_names_missing_and_damaged_files(files: Path) -> None:
    succeed(files, "artifact", "put", "p/one", "files")
    succeed(files, "artifact", "put", "p/two", "files/deep/note.txt")
    assert "2 versions, " in (told := succeed(files, "artifact", "verify"))
    assert told.endswith("all files are intact\n")
    (large,) = [path for path in blobs(files) if path.stat().st_size == LARGE]
    large.chmod(0o644)
    with large.open("r+b") as file:
        file.write(b"WRONG")
    done = command("artifact", "verify", folder=files)
    assert done.returncode == 1
    assert "local/p/one:v0  weights.bin: damaged" in done.stdout
    assert "note.txt" not in done.stdout
    assert "WRONG: 1 files are missing or damaged" in done.stdout
    succeed(files, "artifact", "verify", "p/two:latest")
    large.unlink()
    done = command("artifact", "verify", "p/one", folder=files)
    assert (done.returncode, "weights.bin: missing" in done.stdout) == (1, True)
    for path in blobs(files):
        path.unlink()
    done = command("artifact", "verify", folder=files)
    assert done.stdout.count("the manifest: missing") == 2


@pytest.mark.slow
def test_verify_names_only_the_damaged_file_of_a_pack(files: Path) -> None:
    for at in range(3):
        (files / "files" / f"{at}.txt").write_text(str(at) * 100)
    (files / "files" / "weights.bin").unlink()
    succeed(files, "artifact", "put", "p/one", "files")
    pack = max(blobs(files), key=lambda path: b"0" * 100 in path.read_bytes())
    data = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(data.replace(b"1" * 100, b"X" * 100))
    done = command("artifact", "verify", folder=files)
    assert [line.split(": ")[0].split("  ")[1] for line in done.stdout.splitlines()[:-1]] == ["1.txt"]


@pytest.mark.slow
def test_gc_applies_rules_from_the_command_line_and_the_file(files: Path) -> None:
    for at in range(4):
        (files / "w").write_bytes(bytes([at]) * LARGE)
        succeed(files, "artifact", "put", "p/model", "w", *(["--alias", "prod"] if at == 0 else []))
    rule = ("--keep", "last 2, aliased", "--only", "local/p/*")
    assert "local/p/model:v1  not kept by 'last 2, aliased'" in succeed(files, "gc", "--dry-run", *rule)
    assert "1 file " not in succeed(files, "gc", "--dry-run")
    (files / "tracker-store" / "retention.txt").write_text("local/p/model: last 1\n")
    told = succeed(files, "gc", "--grace", "0", *rule)  # the option takes precedence over the file
    assert [line for line in told.splitlines() if "not kept" in line][1:] == []
    succeed(files, "gc", "--grace", "0")
    left = [each.version for each in tracker.Api().artifacts("dataset", "p/model")]
    assert left == ["v3"]
    (files / "tracker-store" / "retention.txt").write_text("local/p/model: newest\n")
    fail(files, "retention.txt, line 1: invalid retention rule 'newest': use 'best N by KEY", "gc")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("artifact", "rm", "p/model"), "has no version"),
        (("artifact", "alias", "p/model", "x"), "has no version"),
        (("artifact", "put", "p/model:v3", "files"), "Leave out the version"),
        (("artifact", "put", "p/a b", "files"), "Invalid name: 'a b'"),
        (("artifact", "put", "p/x", "nowhere"), "Path is not a file: 'nowhere'"),
        (("artifact", "put", "p/x", "files", "--alias", "v1"), "it looks like a version number"),
        (("artifact", "get", "p/model:v9"), "has no version or alias 'v9'"),
        (("artifact", "get", "p/absent"), "there is no artifact local/p/absent"),
        (("artifact", "alias", "p/model:v0", "latest"), "Alias 'latest' always names the newest version"),
        (("artifact", "alias", "p/model:v0", "a/b"), "Invalid alias 'a/b'"),
        (("artifact", "alias", "p/model:v0", "x", "--remove"), "has no alias 'x'"),
        (("artifact", "verify", "p/absent"), "there is no artifact local/p/absent"),
        (("artifact", "ls", "a/b/c/d"), "Invalid artifact name"),
        (("artifact", "--store", "other", "ls"), "there is no store at"),
        (("artifact", "ls", "--store", "other"), "there is no store at"),
        (("gc", "--store", "other"), "there is no store at"),
        (("gc", "--keep", "last 1"), "--keep needs --only"),
        (("gc", "--keep", "last", "--only", "*/*/*"), "invalid retention rule 'last'"),
    ],
)
def test_error_is_one_line(
    made: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    """In this process, because a new one takes a second. Other tests see what a process prints."""
    monkeypatch.chdir(made)
    monkeypatch.setattr(launch, "_launched_in", str(made))
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    line = ended.value.code
    assert isinstance(line, str)  # Python prints a text to stderr and exits with 1
    assert line.startswith("tracker: ")
    assert "\n" not in line
    assert words in line


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "files").mkdir()
    (folder / "files" / "x").write_text("x")
    succeed(folder, "artifact", "put", "p/model", "files")
    return folder


def test_invalid_time_span_is_refused(made: Path) -> None:
    done: subprocess.CompletedProcess[str] = command("gc", "--grace", "soon", folder=made)
    assert done.returncode == 2
    assert "Invalid time span 'soon'. Use a number with s, m, h, d or w" in done.stderr


def test_artifact_commands_with_a_server(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(files / "served") as server:
        monkeypatch.setenv("TRACKER_BASE_URL", server.url)
        assert (
            succeed(files, "artifact", "put", "p/model", "files", "--alias", "best") == "local/p/model:v0\n"
        )
        assert "best, latest" in succeed(files, "artifact", "ls", "p/model")
        succeed(files, "artifact", "get", "p/model:best", "--root", "out")
        assert (files / "out" / "weights.bin").stat().st_size == LARGE
        succeed(files, "artifact", "rm", "p/model:best", "--aliases")
        monkeypatch.delenv("TRACKER_BASE_URL")
        told = succeed(files, "gc", "--store", "served", "--grace", "0")
        assert "this store received uploads in the last day" in told
        assert "0 B freed" in told
    # gc frees the sent files in the outbox.
    told = succeed(files, "gc", "--grace", "0")
    assert "in outbox http" in told
