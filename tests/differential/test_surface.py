"""tracker has all public names of the real client, with compatible parameters."""

from __future__ import annotations

import pytest

from differential import golden, sides, surface
from differential.surface_differences import DELIBERATE, NOT_YET

RECORDED = golden.load_surface()
DECLARED = {**DELIBERATE, **NOT_YET}


@pytest.mark.parametrize("owner", RECORDED)
def test_tracker_has_the_names_of_wandb_with_their_parameters(owner: str) -> None:
    wanted = {title: list(names) for title, names in RECORDED.items()}
    misfits = surface.misfits(owner, RECORDED[owner], surface.look("tracker", wanted)[owner])
    declared = {
        name for name in DECLARED if name.startswith(f"{owner}.") and name.count(".") == owner.count(".") + 1
    }
    unknown = {name: why for name, why in misfits.items() if name not in declared}
    assert not unknown, "\n".join(f"{name}: {why}" for name, why in unknown.items())
    assert declared <= misfits.keys(), f"declared to differ but do not: {sorted(declared - misfits.keys())}"


@pytest.mark.differential
def test_the_real_client_still_has_the_recorded_names() -> None:
    assert sides.surface_of_wandb() == RECORDED
