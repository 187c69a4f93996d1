"""Fixtures: the Python with the client libraries, and a folder for scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from client_scripts import Client
from serving import serving

# Read at import, because tests run without the TRACKER_* variables of the caller.
PYTHON = Path(os.environ.get("TRACKER_CLIENTS_PYTHON") or scripts.ROOT / ".venv-clients/bin/python")
# The real wandb has its own folder, because scripts run through `tracker run` without it.
WANDB = PYTHON.parents[1] / "real-wandb"

_PAST_STEP = "the real wandb drops rows whose step has passed"
# Tests that only hold for tracker, because of what the real wandb does before it sends anything.
OF_TRACKER = {
    "test_output_metrics_and_optimizer_handlers": _PAST_STEP,
    "test_each_trial_is_a_run_with_its_parameters_as_config": _PAST_STEP,
    "test_lightgbm_cross_validation": "the real wandb's callback fails with this version of lightgbm",
}


@pytest.fixture(params=["tracker run", pytest.param("real wandb", marks=pytest.mark.nightly)])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """Return a client whose working folder, with the store, belongs to the test.

    The real wandb logs to a server of the same store, so that the tests read the same from both.
    """
    for needed in (PYTHON, WANDB / "wandb"):
        if not needed.exists():
            pytest.fail(f"there is no {needed}: run `python3 dev.py test -m clients`", pytrace=False)
    if request.param == "tracker run":
        yield Client(PYTHON, tmp_path)
        return
    if reason := OF_TRACKER.get(request.function.__name__):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    with serving(tmp_path / "tracker-store", key=True) as server:
        yield Client(PYTHON, tmp_path, server, WANDB)
