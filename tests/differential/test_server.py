"""Runs that the real client logs to a server are those that tracker logs natively."""

from __future__ import annotations

from typing import Any

import pytest

from differential import corpus_here, golden, server_differences, sides
from differential.compare import at, differences

pytestmark = pytest.mark.wandb_client

CORPUS = corpus_here.load()
RECORDED = golden.load()
# Every fifth script of the sorted corpus, so that each area has some, runs for each change.
KEYS = [
    key if number % 5 == 0 else pytest.param(key, marks=pytest.mark.nightly)
    for number, key in enumerate(CORPUS)
]


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outcomes of the selected scripts through the server, and natively."""
    wanted = [
        item.callspec.params["key"]
        for item in request.session.items
        if getattr(item, "function", None) is test_a_run_is_the_same_natively_and_from_the_real_client
    ]
    return (
        sides.outcomes_of_server(tmp_path_factory.mktemp("server"), wanted),
        sides.outcomes_of_tracker(tmp_path_factory.mktemp("tracker"), wanted),
    )


@pytest.mark.parametrize("key", KEYS)
def test_a_run_is_the_same_natively_and_from_the_real_client(
    key: str, outcomes: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    through_server, native = (compared(side[key]) for side in outcomes)
    declared = [difference.at for difference in CORPUS[key].differences]
    known = server_differences.KNOWN.get(key, {})
    wrong = []
    for place, (ours, theirs) in differences(native, through_server).items():
        # Where tracker deliberately records another value, the server has that of the real client.
        if within(place, declared) and not differences(at(compared(RECORDED[key]), place), theirs):
            continue
        if not within(place, known):
            wrong.append(f"{place} differs:\n    native {ours!r}\n    server {theirs!r}")
    for place in known:
        if not differences(at(native, place), at(through_server, place)):
            wrong.append(f"{place} is listed in server_differences.py but does not differ")
    assert not wrong, "\n".join([key, *wrong])


def test_known_differences_belong_to_scripts() -> None:
    assert set(server_differences.KNOWN) <= set(CORPUS)


def compared(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return the exit status and the runs, whose artifacts are in the order of their names.

    The client sends artifacts in parallel, so that only versions of one name have an order. The observations
    of scripts depend on the client and its mode, and the server has no part in it.
    """
    runs = [
        {**run, "artifacts": sorted(run["artifacts"], key=lambda one: one["name"])}
        if "artifacts" in run
        else run
        for run in outcome["runs"]
    ]
    return {"exit": outcome["exit"], "runs": runs}


def within(place: str, places: Any) -> bool:
    """Return whether a place is one of ``places`` or inside one."""
    return any(place == outer or place.startswith(f"{outer}/") for outer in places)
