"""Sweeps over the REST API."""

from __future__ import annotations

from serving import serving

from tracker.store.store import Store
from tracker.sweeps.config import check_sweep
from tracker.sweeps.files import Sweep, Trial

CONFIG = {"method": "grid", "name": "my sweep", "parameters": {"lr": {"values": [0.1, 0.2]}}}


def test_sweeps_and_their_trials(store: Store) -> None:
    sweep = Sweep.create(store.layout, "team", "demo", check_sweep(CONFIG))
    for number, rate in enumerate((0.1, 0.2)):
        assert sweep.claim(Trial(number, f"run{number}", {"lr": rate}))
    sweep.request_state("PAUSED")
    with serving(store.root) as server, server.client() as api:
        path = "/projects/team/demo/sweeps"
        found = api.get(f"{path}/{sweep.id}").json()
        assert api.get(path).json() == {"sweeps": [found]}
        assert (found["name"], found["requested_state"]) == ("my sweep", "PAUSED")
        assert found["config"]["parameters"] == CONFIG["parameters"]
        assert [(each["run_id"], each["parameters"]) for each in found["trials"]] == [
            ("run0", {"lr": 0.1}),
            ("run1", {"lr": 0.2}),
        ]
        missing = api.get(f"{path}/no")
        assert (missing.status_code, str(store.root) in missing.text) == (404, False)
        assert api.get("/projects/team/other/sweeps").json() == {"sweeps": []}
    assert server.errors == []
