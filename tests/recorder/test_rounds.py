"""The pauses between the rounds of a watcher."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tracker.recorder.watch import INTERVAL, LONGEST_IDLE_INTERVAL, Rounds


class Clock:
    """An event that ends the rounds after some pauses. It moves the clock by each pause."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._rounds = rounds
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return len(self.pauses) > self._rounds


def test_the_pauses_grow_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = Clock(monkeypatch, 200)
    Rounds(lambda: len(clock.pauses) == 150, clock, "").run()
    assert clock.pauses[0] == clock.pauses[150] == INTERVAL
    assert clock.pauses[149] == LONGEST_IDLE_INTERVAL
    assert clock.pauses[:150] == sorted(clock.pauses[:150])


def test_a_round_that_takes_long_is_followed_by_a_longer_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = Clock(monkeypatch, 1)

    def work() -> bool:
        clock.now += 0.9
        return True

    Rounds(work, clock, "").run()
    assert clock.pauses == pytest.approx([INTERVAL, 1.8])
