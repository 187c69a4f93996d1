"""Import of the logs of Lightning's ``CSVLogger``, compared with what Python's csv module reads."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from imported import import_all, rows

import tracker

pytestmark = pytest.mark.usefixtures("without_recorder")


def read_back(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the values of each column by step, as Python's csv module reads them."""
    found: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for key, cell in row.items():
                if key != "step" and cell != "":
                    found.setdefault(key, []).append((int(row["step"]), float(cell)))
    return found


def imported(run: str) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows(run):
        for key, value in row.items():
            if key != "_step" and value is not None:
                found.setdefault(key, []).append((row["_step"], value))
    return found


@pytest.mark.lightning
def test_what_lightning_wrote_is_imported_and_new_rows_are_added(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(str(tmp_path), name="digits", flush_logs_every_n_steps=1)
    logger.log_hyperparams({"lr": 0.1, "layers": (8, 4), "optimizer": {"name": "adam"}})
    for step in range(0, 40, 2):
        logger.log_metrics({"loss": 1 / (step + 1), "epoch": step // 10}, step)
    logger.save()
    import_all("csv", tmp_path)
    (run,) = tracker.Api().runs("uncategorized")
    assert run.name == "digits/version_0"
    assert run.config == {"lr": 0.1, "layers": [8, 4], "optimizer": {"name": "adam"}}
    path = tmp_path / "digits/version_0/metrics.csv"
    assert imported(f"uncategorized/{run.id}") == read_back(path)
    logger.log_metrics({"val/acc": 0.5, "epoch": 3}, 38)  # a new column: Lightning writes the file again
    logger.log_metrics({"loss": 0.25}, 40)
    logger.save()
    (result,), _ = import_all("csv", tmp_path)
    assert (result.status, result.rows) == ("added", 2)
    assert imported(f"uncategorized/{run.id}") == read_back(path)
    assert import_all("csv", tmp_path)[0][0].status == "unchanged"


def test_rows_of_one_step_are_joined_and_an_unfinished_line_waits(tmp_path: Path) -> None:
    folder = tmp_path / "version_3"
    folder.mkdir()
    path = folder / "metrics.csv"
    path.write_text('step,loss,acc,note\n0,1.5,,\n0,,0.5,"two\nlines"\n5,nan,,\n5,2e-3,,\n6,1')
    (result,), _ = import_all("csv", folder)
    assert (result.rows, len(result.problems)) == (3, 1)
    (run,) = tracker.Api().runs("uncategorized")
    first, second, third = rows(f"uncategorized/{run.id}")
    assert (run.name, run.state, run.config) == ("version_3", "finished", {})
    assert first == {"loss": 1.5, "acc": 0.5, "note": "two\nlines", "_step": 0}
    assert second["loss"] != second["loss"]
    assert third == {"loss": 0.002, "_step": 5}


def test_a_file_without_steps_counts_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("epoch,loss\n1,0.5\n2,0.25\n")
    import_all("csv", path)
    (run,) = tracker.Api().runs("uncategorized")
    assert rows(f"uncategorized/{run.id}") == [
        {"epoch": 1, "loss": 0.5, "_step": 0},
        {"epoch": 2, "loss": 0.25, "_step": 1},
    ]
    path.write_text("")
    (result,), _ = import_all("csv", path)
    assert (result.status, result.problems) == ("failed", ["it has no header"])
