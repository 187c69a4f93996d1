"""What the documents say is what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

from tracker.ground import records
from tracker.ground.settings import load_settings
from tracker.journal import format

README = (scripts.ROOT / "README.md").read_text()
SETTINGS = (scripts.ROOT / "docs" / "settings.md").read_text()
DOCUMENTS = [*scripts.ROOT.glob("*.md"), *(scripts.ROOT / "docs").rglob("*.md")]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_readmes_first_script_runs_and_is_read_back(tmp_path: Path) -> None:
    first = blocks(README, "python")[0]
    later = blocks(README, "python")[2]
    scripts.run(first, tmp_path)
    done = scripts.run(f"{later}\nprint(open(folder + '/weights.txt').read(), len(rows))", tmp_path)
    assert done.stdout == "0.5 100\n"


@pytest.mark.parametrize(
    "command",
    sorted(
        {
            line.split()[1]
            for text in blocks(README, "sh")
            for line in text.splitlines()
            if line.startswith("tracker ")
        }
    ),
)
def test_documented_commands_exist(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", command, "--help"],
        env=scripts.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"`tracker {command}" in SETTINGS


def test_every_command_is_documented() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", "--help"],
        env=scripts.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    for command in re.findall(r"^    (\w+) ", done.stdout, flags=re.MULTILINE):
        assert f"`tracker {command}" in SETTINGS


@pytest.mark.parametrize(
    "suffix", ["ENTITY", "PROJECT", "RUN_ID", "NAME", "RUN_GROUP", "JOB_TYPE", "NOTES", "RESUME"]
)
@pytest.mark.parametrize("prefix", ["TRACKER", "WANDB"])
def test_documented_variables_work(prefix: str, suffix: str) -> None:
    field = {"RUN_GROUP": "group"}.get(suffix, suffix.lower())
    assert getattr(load_settings({f"{prefix}_{suffix}": "given"}), field) == "given"
    assert f"..._{suffix}" in SETTINGS


def test_the_journal_format_is_as_documented() -> None:
    text = (scripts.ROOT / "docs" / "journal-format.md").read_text()
    assert f"# Journal format, version {format.VERSION}" in text
    assert f"header ({format.HEADER.size} bytes)" in text
    assert f"frame ({format.FRAME.size} bytes and the payload)" in text
    assert f"`{format.MARKER.hex(' ')}`" in text
    assert f"at most {format.MAX_PAYLOAD // 2**20} MiB" in text
    kinds = dict(
        re.findall(r"(\d+) ([a-z ]+?)(?=[,.])", text[text.index("the record's kind:") :].replace("\n", " "))
    )
    for kind in records.RECORD_KINDS:
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()
        assert kinds[str(kind.__struct_config__.tag)] == words


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_line_of_the_durability_contract_names_tests_that_exist() -> None:
    text = (scripts.ROOT / "docs" / "durability.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    for path, test in named:
        assert re.search(rf"^def {test}\(", (scripts.ROOT / path).read_text(), re.MULTILINE), (
            f"{path}::{test}"
        )
    lines = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(lines) == 25
    for line in lines:
        assert "`tests/" in line, line
