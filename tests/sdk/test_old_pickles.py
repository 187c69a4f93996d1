"""Pickles and checkpoints of older versions can be read (``tests/fixtures/make_pickles.py`` made them)."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripts

PICKLES = Path(__file__).resolve().parents[1] / "fixtures" / "pickles"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("run", "repr(found) == '<Run local/demo/old>'"),
        ("config", "found == {'lr': 0.1}"),
        ("settings", "found.project == 'demo' and type(found) is tracker.Settings"),
        ("level", "found is tracker.AlertLevel.WARN"),
        ("histogram", "type(found) is tracker.Histogram and len(found.histogram) == 64"),
        ("table", "type(found) is tracker.Table and found.data == [[1]]"),
    ],
)
def test_a_pickle_of_an_older_version_is_read(name: str, check: str, tmp_path: Path) -> None:
    code = f"import pickle, tracker\nfound = pickle.load(open({str(PICKLES / name)!r} + '.pickle', 'rb'))\n"
    scripts.run(code + f"assert {check}", tmp_path)


@pytest.mark.slow
def test_a_watched_model_of_an_older_version_is_read(tmp_path: Path) -> None:
    code = f"""
import torch
model = torch.load({str(PICKLES / "model.pt")!r}, weights_only=False)
assert model(torch.ones(1, 2)).shape == (1, 1)
"""
    scripts.run(code, tmp_path)
