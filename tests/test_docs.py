"""The documents describe what the code does."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import scripts

from tracker.cli.main import make_parser
from tracker.ground import records
from tracker.ground.settings import load_settings
from tracker.journal import format
from tracker.version import __version__

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


def command_lines() -> list[tuple[str, str]]:
    """Return the command lines of `tracker` in all documents: file, line."""
    found = []
    for path in DOCUMENTS:
        for block in blocks(path.read_text(), "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for command in re.split(r" && | \| |; ", line.partition("  #")[0]):
                    words = re.sub(r"^(\w+=\S+ )+|^\$ |^srun |^ssh \S+ ", "", command.strip())
                    if words.startswith("tracker "):
                        found.append((path.name, words))
    return found


@pytest.mark.parametrize(("document", "line"), command_lines())
def test_documented_command_lines_are_accepted(document: str, line: str) -> None:
    make_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_running_text_exist(path: Path) -> None:
    actions = make_parser()._subparsers._group_actions  # type: ignore[union-attr]
    named = set(re.findall(r"`tracker ([a-z]+)\b", path.read_text()))
    assert named <= set(actions[0].choices or ())


def test_the_readme_denies_only_features_that_do_not_exist() -> None:
    tracked = [*(scripts.ROOT / "tracker").rglob("*.py"), *(scripts.ROOT / "server").glob("**/*.py")]
    sources = "\n".join(path.read_text() for path in tracked).lower()
    for phrase, sign in (
        ("no PostgreSQL catalog", "psycopg"),
        ("no S3\nstore", "class s3store"),
    ):
        assert phrase in README
        assert sign not in sources, f"README denies what {sign!r} shows"


def test_the_site_has_every_document_in_its_navigation() -> None:
    listed = (scripts.ROOT / "mkdocs.yml").read_text()
    for path in (scripts.ROOT / "docs").rglob("*.md"):
        if path.parent.name != "decisions":
            assert str(path.relative_to(scripts.ROOT / "docs")) in listed


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
    assert len(lines) == 31
    for line in lines:
        assert "`tests/" in line, line


def test_the_changelog_has_the_usual_form() -> None:
    text = (scripts.ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) and day for version, day in versions[1:])
    assert __version__ in [version for version, _ in versions]
    assert len(versions) == text.count("\n## ")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    for version, _ in versions:
        assert re.search(rf"^\[{re.escape(version)}\]: http", text, re.MULTILINE)


def test_upper_limits_of_dependencies_are_the_first_untested_version() -> None:
    text = (scripts.ROOT / "pyproject.toml").read_text()
    tested = dict(
        re.findall(r"^([\w-]+)==([\d.]+)", (scripts.ROOT / "constraints-dev.txt").read_text(), re.MULTILINE)
    )
    block = text[text.index("dependencies = [") : text.index("\ndev = [")]
    wanted = re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)(?:,<(\d+))?"', block)
    assert len(wanted) > 10
    for name, _, below in wanted:
        assert below, f"{name} has no upper limit"
        assert int(below) == int(tested[name].split(".")[0]) + 1, (
            f"{name}: {tested[name]} is the tested version"
        )


def test_the_architecture_names_files_that_exist() -> None:
    text = (scripts.ROOT / "docs" / "architecture.md").read_text()
    listed = subprocess.run(["git", "ls-files"], cwd=scripts.ROOT, capture_output=True, text=True, check=True)
    files = {f"/{name}" for name in listed.stdout.splitlines()}
    named = set(re.findall(r"`([\w./-]+\.(?:py|ts|svelte))`", text))
    assert len(named) > 60
    assert [name for name in named if not any(each.endswith(f"/{name}") for each in files)] == []
