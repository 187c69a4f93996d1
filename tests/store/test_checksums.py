"""Flipped bits in sealed parts: a read returns the right values or raises a ``StoreError``."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from builders import Writer, apply_all, end_segments, read_history, seal_all
from sqlalchemy import select

from tracker.errors import StoreError
from tracker.store.catalog.models import CapturedPart, Part
from tracker.store.history import compaction
from tracker.store.history.parquet import last_number, opened, read_numbers, read_part_rows
from tracker.store.recovery.verify import Item, list_items, verify
from tracker.store.store import Store

A = "aa" * 16
FLIPS = 1500


def part_of(store: Store) -> Path:
    """Log rows with every type of column, seal them, and return the part."""
    writer = Writer(store.layout, A)
    for at in range(60):
        writer.log(
            {
                "loss": 1 / (at + 1) if at % 7 else math.nan,
                "count": at * at,
                "name": f"text {at % 5}",
                "flag": at % 2 == 0,
                "nested": {"a": [at, None]},
                "sometimes": at if at % 3 else 1.5,
            }
        )
    writer.finish()
    apply_all(store)
    seal_all(store)
    with store.reading() as session:
        (path,) = session.scalars(select(Part.path))
    return store.root / path


def answers(path: Path) -> list[Any]:
    """Return the results of every function that reads a part."""
    with opened(path) as file:
        table = file.read().to_pydict()
    return [
        repr(list(read_part_rows(path))),
        repr(list(read_part_rows(path, ["loss", "nested"]))),
        repr(read_numbers(path, "_step", ["loss", "count"])),
        repr(last_number(path, "loss")),
        repr(table),
    ]


def test_no_flipped_bit_is_read_as_another_value(store: Store, tmp_path: Path) -> None:
    part = part_of(store)
    whole = answers(part)
    data = part.read_bytes()
    copy = tmp_path / part.name
    draw = random.Random(8)
    refused = 0
    for _ in range(FLIPS):
        at, bit = draw.randrange(len(data)), draw.randrange(8)
        copy.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        try:
            found = answers(copy)
        except StoreError as error:
            refused += 1
            assert str(copy) in error.message
        else:
            assert found == whole, f"bit {bit} of byte {at} changed what is read"
    assert refused > FLIPS * 0.9


def test_verify_finds_every_flipped_bit(store: Store) -> None:
    """Readers do not check some of these bits, for example in page headers and the first magic number."""
    part = part_of(store)
    data = part.read_bytes()
    part.chmod(0o644)
    draw = random.Random(9)
    ends = [*range(4), *range(len(data) - 8, len(data))]
    flips = [(draw.randrange(len(data)), draw.randrange(8)) for _ in range(FLIPS)]
    missed = []
    for at, bit in [*flips, *((at, bit) for at in ends for bit in range(8))]:
        part.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        faults: list[str] = []
        verify(store, [Item("part", part, len(data))], faults.append, lambda _: None)
        if len(faults) != 1 or str(part) not in faults[0]:
            missed.append((at, bit, faults))
    assert missed == []
    part.write_bytes(data)
    assert verify(store, [Item("part", part, len(data))], missed.append, lambda _: None).unchecked == {}
    assert missed == []


def test_verify_finds_every_flipped_bit_of_published_files(store: Store) -> None:
    writer = Writer(store.layout, A)
    writer.log({"loss": 0.5, "name": "text"})
    writer.artifact("model", {"a": b"content"}, aliases=["best"])
    writer.finish()
    apply_all(store)
    seal_all(store)
    items = [item for item in list_items(store) if item.kind == "published"]
    assert sorted(item.path.name for item in items) == ["0.json", "best.json", "latest.json", "run.json"]
    draw = random.Random(10)
    missed = []
    for item in items:
        data = item.path.read_bytes()
        last = range(len(data) - 40, len(data))  # the checksum itself
        flips = [(draw.randrange(len(data)), draw.randrange(8)) for _ in range(FLIPS // 3)]
        for at, bit in [*flips, *((at, bit) for at in last for bit in range(8))]:
            item.path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            faults: list[str] = []
            verify(store, [item], faults.append, lambda _: None)
            if len(faults) != 1 or str(item.path) not in faults[0]:
                missed.append((item.path.name, at, bit, faults))
        item.path.write_bytes(data)
    assert missed == []
    assert verify(store, items, missed.append, lambda _: None).unchecked == {}
    assert missed == []


@pytest.mark.parametrize("size", [0, 3, 8, 100, -1, -9])
def test_a_truncated_part_raises_a_store_error(store: Store, tmp_path: Path, size: int) -> None:
    part = part_of(store)
    copy = tmp_path / part.name
    copy.write_bytes(part.read_bytes()[:size])
    with pytest.raises(StoreError, match="restore this file from a backup"):
        list(read_part_rows(copy))


def test_a_part_of_an_older_tracker_is_read_without_a_checksum(store: Store, tmp_path: Path) -> None:
    part = part_of(store)
    old = tmp_path / f"{A}-000000000000-000000000059-0a1b2c3d.parquet"
    shutil.copy(part, old)
    assert repr(list(read_part_rows(old))) == repr(list(read_part_rows(part)))


def test_a_damaged_part_is_not_merged_into_a_sound_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.store.ingest.apply.HOT_ROWS", 10)
    writer = Writer(store.layout, A)
    for at in range(100):
        writer.log({"loss": at / 7, "count": at})
        apply_all(store)
    with store.reading() as session:
        paths = [store.root / path for path in session.scalars(select(Part.path))]
    data = bytearray(paths[0].read_bytes())
    data[len(data) // 4] ^= 1
    paths[0].chmod(0o644)
    paths[0].write_bytes(data)
    monkeypatch.setattr(compaction, "FAN", 2)
    monkeypatch.setattr(compaction, "SMALLEST_CLASS", 1000)
    writer.finish()
    with pytest.raises(StoreError, match=paths[0].name):
        apply_all(store)
        seal_all(store)
    assert paths[0].read_bytes() == bytes(data)


def test_parts_of_output_and_samples_have_checksums(store: Store) -> None:
    from tracker.ground.records import ConsoleLines, SystemSample

    writer = Writer(store.layout, A)
    writer.put(SystemSample(writer.tick(), {"cpu": 5.0}))
    writer.put(ConsoleLines(writer.tick(), [(0, 1, "hello")]))
    writer.log({"x": 1})
    writer.finish()
    apply_all(store)
    end_segments(store)
    seal_all(store)
    with store.reading() as session:
        paths = [store.root / path for path in session.scalars(select(CapturedPart.path))]
    assert len(paths) == 2
    for path in paths:
        data = bytearray(path.read_bytes())
        data[len(data) - 60] ^= 4  # in the footer
        path.chmod(0o644)
        path.write_bytes(data)
        with pytest.raises(StoreError, match=path.name):
            list(read_part_rows(path))
    assert [row["x"] for row in read_history(store)] == [1]
