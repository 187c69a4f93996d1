"""Import of ``.wandb`` files that the tests write: growth, damage, copies, resumed and forked runs."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import pytest
from imported import import_all, rows, statuses
from wandb_files import exit_record, field, history, items, record, run_record, stamp, write
from wandb_files import rows as log_rows

import tracker
from tracker.cli.main import main
from tracker.ground.settings import load_settings
from tracker.importing.importer import Importer
from tracker.importing.kinds import find_sources

pytestmark = pytest.mark.usefixtures("without_recorder")

START = 1_700_000_000.0


def values(count: int, begin: int = 0) -> list[dict[str, float]]:
    return [{"x": float(step), "_step": step} for step in range(begin, begin + count)]


def logged(count: int, begin: int = 0) -> list[bytes]:
    return [history(step, {"x": float(step)}) for step in range(begin, begin + count)]


def test_a_file_that_grows_adds_only_its_new_rows_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "wandb/run-a/run-a.wandb"
    config = record(5, field(1, field(1, "late") + field(16, "1")))
    write(path, [run_record("a", extra=field(8, "shown") + field(10, "t")), *logged(3), config])
    assert statuses(import_all("wandb", tmp_path)[0]) == [("a", "new", 3)]
    assert tracker.Api().run("p/a").state == "crashed"
    assert statuses(import_all("wandb", tmp_path)[0]) == [("a", "unchanged", 0)]
    whole = [run_record("a", extra=field(8, "shown") + field(10, "t")), *logged(3), config, *logged(2, 3)]
    write(path, [*whole, exit_record(3)])
    assert statuses(import_all("wandb", tmp_path)[0]) == [("a", "added", 2)]
    assert statuses(import_all("wandb", tmp_path)[0]) == [("a", "unchanged", 0)]
    run = tracker.Api().run("p/a")
    assert rows("p/a") == values(5)
    assert (run.state, run.name, run.tags, run.config) == ("failed", "shown", ["t"], {"late": 1})
    assert run.summary["x"] == 4.0


def test_a_copy_in_another_folder_is_the_same_run(tmp_path: Path) -> None:
    path = write(tmp_path / "one/run-a.wandb", [run_record("a"), *logged(2), exit_record()])
    shutil.copytree(path.parent, tmp_path / "two")
    results, _ = import_all("wandb", tmp_path)
    assert sorted(status for _, status, _ in statuses(results)) == ["new", "unchanged"]
    assert rows("p/a") == values(2)


@pytest.mark.parametrize("cut", [1, 9, 40_000])
def test_a_truncated_file_is_read_up_to_its_last_whole_record(tmp_path: Path, cut: int) -> None:
    whole = [run_record("a"), *log_rows(200, 10)]
    path = write(tmp_path / "run-a.wandb", whole)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    (result,), _ = import_all("wandb", tmp_path)
    found = rows("p/a")
    assert [row["_step"] for row in found] == list(range(len(found)))
    assert result.rows == len(found) and 50 < len(found) < 200
    assert len(result.problems) == 1 and "ends in an incomplete record" in result.problems[0]
    path.write_bytes(data)  # the rest arrives
    (result,), _ = import_all("wandb", tmp_path)
    assert (result.status, result.rows, result.problems) == ("added", 200 - len(found), [])
    assert [row["metric/3"] for row in rows("p/a")] == [1 / (4 + step) for step in range(200)]


def test_a_damaged_block_costs_only_its_own_records(tmp_path: Path) -> None:
    path = write(tmp_path / "run-a.wandb", [run_record("a"), *log_rows(300, 10), exit_record()])
    data = bytearray(path.read_bytes())
    data[40_000] ^= 1  # in the second of several blocks
    path.write_bytes(data)
    (result,), _ = import_all("wandb", tmp_path)
    steps = [row["_step"] for row in rows("p/a")]
    assert steps[0] == 0 and steps[-1] == 299 and 200 < len(steps) < 300
    assert ["damaged" in problem for problem in result.problems] == [True]
    assert tracker.Api().run("p/a").state == "finished"


def test_files_without_a_run_are_named_and_the_others_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run-a.wandb", [run_record("a"), *logged(1), exit_record()])
    write(tmp_path / "run-b.wandb", [])  # a killed client leaves only the header
    (tmp_path / "run-c.wandb").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="1"):
        main(["import", "wandb", str(tmp_path)])
    out, err = capsys.readouterr()
    assert out == "local/p/a: imported 1 rows\n"
    assert [line.split(": ", 2)[1].split()[0].rsplit("/", 1)[1] for line in err.splitlines()] == [
        "run-b.wandb",
        "run-c.wandb",
    ]
    assert "contains no run" in err and "not a .wandb file" in err


def test_both_encodings_and_all_kinds_of_values(tmp_path: Path) -> None:
    def item(key: str, body: bytes, *more: str) -> bytes:
        return field(1, b"".join(field(2, part) for part in (key, *more)) + body)

    typed = [
        item("none", field(3, 0)),
        item("flag", field(4, 1)),
        item("negative", field(5, 13)),  # zigzag: -7
        item("number", field(6, 2.5)),
        item("text", field(7, "h\u00e9")),
        item("list", field(8, "[1, 2]")),
        item("deep", field(5, 4), "inner", "key"),
        item("_step", field(5, 0)),
    ]
    texts = {
        "none": "null", "flag": "true", "negative": "-7", "number": "2.5", "text": '"h\u00e9"',
        "list": "[1, 2]",
    }  # fmt: skip
    plain = [item(key, field(16, text)) for key, text in texts.items()]
    plain += [item("deep", field(16, "2"), "inner", "key"), item("_step", field(16, "1"))]
    odd = [
        item("nan", field(16, "NaN")),
        item("inf", field(16, "-Infinity")),
        item("k" * 200, field(16, "1")),
        item("quoted", field(16, json.dumps('a "b" \n'))),
        field(1, field(1, "old") + field(16, "3")),  # `key` in place of `nested_key`
    ]
    records = [record(2, b"".join(each)) for each in (typed, plain)]
    records.append(record(2, b"".join(odd) + field(2, field(1, 2))))  # the step has a field of its own
    write(tmp_path / "run-a.wandb", [run_record("a"), *records, exit_record()])
    import_all("wandb", tmp_path)
    first, second, third = rows("p/a")
    expected = {
        "none": None, "flag": True, "negative": -7, "number": 2.5, "text": "h\u00e9", "list": [1, 2],
        "deep": {"inner": {"key": 2}},
    }  # fmt: skip
    assert first == {**expected, "_step": 0}
    assert second == {**expected, "_step": 1}
    assert math.isnan(third.pop("nan")) and third.pop("inf") == -math.inf
    assert third == {"k" * 200: 1, "quoted": 'a "b" \n', "old": 3, "_step": 2}


def test_a_resumed_offline_run_continues_and_a_rewound_one_goes_back(tmp_path: Path) -> None:
    resumed = run_record("a", START + 100, extra=field(24, 1))
    branch = field(23, field(1, "a") + field(2, 1.0) + field(3, "_step"))
    write(tmp_path / "1/run-a.wandb", [run_record("a"), *logged(3), exit_record()])
    write(tmp_path / "2/run-a.wandb", [resumed, *logged(2), exit_record()])
    import_all("wandb", tmp_path)
    assert [(row["_step"], row["x"]) for row in rows("p/a")] == [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1)]
    back = [run_record("a", START + 200, extra=branch), history(2, {"x": 20.0}), exit_record()]
    write(tmp_path / "3/run-a.wandb", back)
    import_all("wandb", tmp_path)
    assert [(row["_step"], row["x"]) for row in rows("p/a")] == [(0, 0), (1, 1), (2, 20)]


def test_a_fork_has_the_rows_of_its_parent(tmp_path: Path) -> None:
    branch = field(23, field(1, "a") + field(2, 1.0) + field(3, "_step"))
    config = field(4, field(1, field(1, "lr") + field(16, "0.1")))
    fork = [run_record("b", START + 50, extra=branch), history(2, {"x": 20.0}), exit_record()]
    write(tmp_path / "b/run-b.wandb", fork)
    (result,), _ = import_all("wandb", tmp_path / "b", override="alone")
    assert "run a, from which this run was forked" in result.problems[0]
    write(tmp_path / "a/run-a.wandb", [run_record("a", extra=config), *logged(4), exit_record()])
    import_all("wandb", tmp_path)
    assert [(row["_step"], row["x"]) for row in rows("p/b")] == [(0, 0), (1, 1), (2, 20)]
    assert tracker.Api().run("p/b").config == {"lr": 0.1}


def test_output_system_metrics_alerts_summary_and_missing_files(tmp_path: Path) -> None:
    def printed(text: str, stream: int, at: float) -> bytes:
        return record(13, field(1, stream) + stamp(2, at) + field(3, text))

    folder = tmp_path / "run-a"
    written = [
        run_record("a"),
        *(printed(text, 1, START + 1) for text in ("one", " ", "1", "\n")),
        printed("\rbar 1", 0, START + 2),
        printed("\rbar 2", 0, START + 2),
        record(7, stamp(2, START + 3) + field(3, field(1, "cpu") + field(16, "12.5"))),
        record(10, field(1, "title") + field(2, "text") + field(3, "WARN")),
        *logged(1),
        record(
            3, field(1, field(1, "best") + field(16, "0.9")) + field(1, field(1, "gone") + field(16, "1"))
        ),
        record(3, field(2, field(1, "gone"))),
        record(3, field(1, field(2, "deep") + field(2, "n") + field(16, "4"))),
        record(
            6, field(1, field(1, "notes.txt")) + field(1, field(1, "lost.txt")) + field(1, field(1, "../x"))
        ),
        record(12, field(2, "x*") + field(7, field(2, 1))),
        exit_record(),
    ]
    write(folder / "run-a.wandb", written)
    (folder / "files").mkdir()
    (folder / "files/notes.txt").write_text("kept")
    (result,), _ = import_all("wandb", tmp_path)
    assert result.problems == ["the file lost.txt is missing"]
    run = tracker.Api().run("p/a")
    with run.file("notes.txt").download(root=tmp_path / "down") as file:
        assert file.read() == "kept"
    assert [line.content for line in run.console_logs()] == ["one 1", "bar 2"]
    assert [(each.title, each.level) for each in run._info.alerts] == [("title", "WARN")]
    assert run.history(stream="system", pandas=False)[0]["system.cpu"] == 12.5
    assert (run.summary["best"], run.summary["deep"], "gone" in run.summary) == (0.9, {"n": 4}, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_source_of_another_user_gets_no_private_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("private")
    secret.chmod(0o600)
    folder = tmp_path / "run-a"
    entry = field(1, "key.txt") + field(2, "digest") + field(6, str(secret))
    artifact = field(5, "stolen") + field(4, "dataset") + field(12, field(4, entry))
    names = field(1, field(1, "linked.txt")) + field(1, field(1, "pipe"))
    write(folder / "run-a.wandb", [run_record("a"), record(8, artifact), record(6, names), exit_record()])
    os.chown(folder / "run-a.wandb", 12345, 12345)
    (folder / "files").mkdir()
    (folder / "files/linked.txt").symlink_to(secret)
    os.mkfifo(folder / "files/pipe")
    (result,), _ = import_all("wandb", tmp_path)
    private = "is a private file of another user than the owner of the source"
    assert result.problems == [
        f"artifact stolen is not imported: key.txt {private}",
        f"the file linked.txt {private}",
        "the file pipe is missing",
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x08",
        b"\x08\x80",
        b"\x08\x01\x12\xff",
        b"\x08\x01\x12\x7f",
        *(record(number, 1) for number in range(2, 27)),
        *(record(number, field(1, 1) + field(2, 1) + field(3, 1) + field(12, 1)) for number in range(2, 27)),
    ],
    ids=bytes.hex,
)
def test_a_record_of_other_types_is_no_exception(tmp_path: Path, hostile: bytes) -> None:
    """The importer ignores the record, or one line names the file."""
    write(tmp_path / "run-a.wandb", [run_record("a"), hostile, *logged(1), exit_record()])
    found = find_sources("wandb", [tmp_path])
    (result,) = Importer(None, "local", "p").run(found.sources, silent=True)
    assert result.status == "new" or (result.status == "failed" and "\n" not in str(result.problems))


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "run-a.wandb", [run_record("a"), *logged(3), exit_record()])
    main(["import", "wandb", str(tmp_path), "--dry-run", "--json", "--project", "other"])
    answer = json.loads(capsys.readouterr().out)
    (found,) = answer["runs"]
    assert (found["project"], found["run"], found["status"], found["rows"]) == ("other", "a", "new", 3)
    assert not load_settings().store.exists()


def test_the_summary_records_of_rows_are_not_taken_for_values_of_the_script(tmp_path: Path) -> None:
    changed = record(3, items(1, {"metric/0": 7.0}))
    write(tmp_path / "run-a.wandb", [run_record("a"), *log_rows(3, 2), changed, exit_record()])
    import_all("wandb", tmp_path)
    summary = tracker.Api().run("p/a").summary
    assert (summary["metric/0"], summary["metric/1"]) == (7.0, 1 / 4)
