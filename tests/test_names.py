"""Names: what is allowed, in which words the rest is refused, and names made up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracker.errors import UsageError
from tracker.ground import names


def test_new_run_ids_are_eight_letters_and_digits() -> None:
    made = {names.new_run_id() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch("[a-z0-9]{8}", each) for each in made)
    assert all(names.check_run_id(each) == each for each in made)


def test_new_run_names_have_three_parts() -> None:
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", names.new_run_name()) for _ in range(50))


@pytest.mark.parametrize("run_id", ["a", "run.1", "größe", "a b", "x" * 128, "..", "v1"])
def test_run_ids_that_are_allowed(run_id: str) -> None:
    assert names.check_run_id(run_id) == run_id


@pytest.mark.parametrize(
    ("run_id", "words"),
    [
        ("", "cannot be empty"),
        ("  ", "cannot be empty"),
        *((f"a{character}b", "may not contain") for character in ":;,#?/'\\%"),
        ("x" * 129, "129 characters, at most 128"),
        ("a\nb", "control characters"),
    ],
)
def test_run_ids_that_are_refused(run_id: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        names.check_run_id(run_id)


@pytest.mark.parametrize("check", [names.check_project, names.check_entity])
@pytest.mark.parametrize("name", ["", " ", *(f"a{character}b" for character in "/\\#?%:"), "x" * 129, "a\tb"])
def test_projects_and_entities_that_are_refused(check: object, name: str) -> None:
    with pytest.raises(UsageError, match=r"^Invalid (project|entity) name"):
        check(name)  # type: ignore[operator]


def test_refusal_says_every_character_once() -> None:
    with pytest.raises(UsageError, match=re.escape(r"cannot contain # / \\;")):
        names.check_project("a/b/c#d\\")


@pytest.mark.parametrize("name", ["model-a_b.c", "0", "x" * 128, "..."])
def test_artifact_names_that_are_allowed(name: str) -> None:
    assert names.check_artifact_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:v1", "modèle", "a\n", "x" * 129])
def test_artifact_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^Artifact name"):
        names.check_artifact_name(name)


@pytest.mark.parametrize("alias", ["latest", "best", "v", "v1a", "V1", "1", "a b", "größe"])
def test_aliases_that_are_allowed(alias: str) -> None:
    assert names.check_alias(alias) == alias


@pytest.mark.parametrize("alias", ["", "a/b", "a:b", "v0", "v12"])
def test_aliases_that_are_refused(alias: str) -> None:
    with pytest.raises(ValueError, match=r"^Invalid alias"):
        names.check_alias(alias)


@pytest.mark.parametrize(
    "path", ["a.txt", "x" * 255, "folder/" + "y" * 255, "ü" * 127, "a" * 200 + "/b" * 100]
)
def test_paths_that_a_file_system_holds_stay(path: str) -> None:
    assert names.path_on_disk(path) == path


@pytest.mark.parametrize(
    "part", ["x" * 256, "x" * 3000 + ".json", "ü" * 128, "日本" * 500 + ".png", "\U0001f600" * 64]
)
def test_parts_that_are_too_long_are_cut_and_stay_apart(part: str, tmp_path: Path) -> None:
    found = names.path_on_disk(f"folder/{part}")
    folder, _, name = found.partition("/")
    assert folder == "folder"
    assert len(name.encode()) <= 255
    assert name.endswith(part[-5:])
    (tmp_path / name).write_text("it fits")
    other = part[: len(part) // 2] + "other" + part[len(part) // 2 :]
    assert names.path_on_disk(f"folder/{other}") != found
