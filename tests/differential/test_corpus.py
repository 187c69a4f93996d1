"""tracker records the same as the real client, except for declared differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from differential import corpus_here, faults, golden, sides
from differential.compare import complaints

CORPUS = corpus_here.load()
RECORDED = golden.load()


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return sides.outcomes_of_tracker(tmp_path_factory.mktemp("tracker"))


@pytest.mark.differential
@pytest.mark.parametrize("key", CORPUS)
def test_a_script_records_the_same_as_with_the_real_client(key: str, outcomes: dict[str, Any]) -> None:
    wrong = complaints(RECORDED[key], outcomes[key], CORPUS[key].differences, faults.KNOWN.get(key, []))
    assert not wrong, "\n".join([key, *wrong])


def test_recorded_outcomes_and_known_faults_belong_to_scripts() -> None:
    assert set(RECORDED) == set(CORPUS)
    assert set(faults.KNOWN) <= set(CORPUS)


@pytest.mark.differential
@pytest.mark.nightly
def test_the_real_client_still_has_the_recorded_outcomes(tmp_path: Path) -> None:
    found = sides.outcomes_of_wandb(tmp_path)
    changed = [key for key in RECORDED if found.get(key) != RECORDED[key]]
    assert not changed, f"Run python tests/differential/record.py and look at the changes of {changed}"
    assert found.keys() == RECORDED.keys()
