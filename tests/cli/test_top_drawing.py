"""Curves in braille, their labels, and the grid of characters of ``tracker top``."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import scripts
from rich.style import Style

from tracker.cli.top.braille import NOT_FINITE, Curve, Range, draw, range_of
from tracker.cli.top.canvas import Canvas
from tracker.cli.top.colors import DARK, LIGHT, color_of, hash_of
from tracker.cli.top.labels import position_label, value_labels
from tracker.cli.top.reads import matches
from tracker.cli.top.texts import output_text

RUN = ("local", "digits", "abc")
INF = math.inf
NAN = math.nan


def curve(y: list[float], x: list[float] | None = None) -> Curve:
    at = np.arange(len(y), dtype=float) if x is None else np.array(x)
    return Curve.of_values("a run", "", RUN, at, np.array(y, float))


def picture(*curves: Curve, width: int = 4, height: int = 2) -> list[str]:
    return draw(curves, width, height).text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 7], ["   ⣀⠔⠊", "⡠⠔⠉   "]),
        ([7, 0], ["⠑⠢⣀   ", "   ⠉⠢⢄"]),
        ([0, 1, 0], [" ⢀⠔⠱⡀ ", "⡠⠊  ⠈⢆"]),
        ([3, 3, 3], ["⣀⣀⣀⣀⣀⣀", "      "]),
        ([0, 0], ["⣀⣀⣀⣀⣀⣀", "      "]),
        ([5], ["   ⡀  ", "      "]),
        ([], ["      ", "      "]),
        ([1, NAN, NAN, 2, 3], ["    ⡠⠊", "⡀x x  "]),
        ([1, INF, 3, -INF, 5], ["   ⡀ ⠈", "⡀x  x "]),
        ([NAN, NAN], ["      ", "x    x"]),
        ([-1e308, 1e308], ["   ⣀⠔⠊", "⡠⠔⠉   "]),
    ],
)
def test_a_curve_has_its_picture(values: list[float], expected: list[str]) -> None:
    assert picture(curve(values), width=6) == [row.replace("x", NOT_FINITE) for row in expected]


def test_a_bucket_is_drawn_from_its_smallest_to_its_largest_value() -> None:
    at = np.array([0.0, 1.0])
    spike = curve([1, 1])._replace(x=at, low=np.array([0.0, 1.0]), high=np.array([7.0, 1.0]))
    assert picture(spike, width=3) == ["⡇  ", "⡧⠤⠤"]


def test_a_later_curve_is_drawn_over_an_earlier_one() -> None:
    drawn = draw([curve([0, 7]), curve([7, 0])], 4, 2)
    assert drawn.text == ["⠑⢄⡠⠊", "⡠⠊⠑⢄"]
    assert drawn.owners.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert draw([curve([]), curve([NAN, 1])], 2, 1).owners.tolist() == [[1, 1]]


def test_only_the_range_is_drawn() -> None:
    assert draw([curve([0, 1, 2, 3])], 4, 2, Range(1, 2), Range(0, 3)).text == ["  ⣀⠤", "⠒⠉  "]


def test_a_logarithm_leaves_out_what_is_not_positive() -> None:
    found = curve([-1, 0, 1, 10, 100, NAN]).in_log()
    assert found.mean.tolist()[2:5] == [0, 1, 2]
    assert np.isnan(found.mean).tolist() == [True, True, False, False, False, True]
    bucket = curve([5])._replace(low=np.array([-1.0]), high=np.array([100.0])).in_log()
    assert (bucket.low[0], bucket.high[0]) == (math.log10(5), 2)


def test_smoothing_has_no_bias_at_the_start_and_leaves_out_what_is_not_finite() -> None:
    assert curve([3, 3, NAN, 3]).smoothed(0.9).mean.tolist()[:2] == pytest.approx([3, 3])
    found = curve([0, INF, 1]).smoothed(0.5).mean
    assert found[0] == 0
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.5 / 0.75)


def test_a_range_has_all_finite_values() -> None:
    assert range_of([np.array([1, NAN, INF]), np.array([-2.0])]) == Range(-2, 1)
    assert range_of([np.array([4.0, 4.0])]) == Range(3.6, 4.4)
    assert range_of([np.array([NAN]), np.array([])]) is None


def test_labels_of_different_values_differ() -> None:
    assert value_labels([1, 0.5, 0]) == ["1", "0.5", "0"]
    assert value_labels([1000.002, 1000.001, 1000.0]) == ["1000.002", "1000.001", "1000"]
    assert value_labels([3e7, 2e-7]) == ["3e7", "2e-7"]
    assert value_labels([5.0, 5.0]) == ["5", "5"]


def test_a_position_has_the_form_of_its_axis() -> None:
    assert position_label(12_000, "_step") == "12000"
    assert position_label(7260.5, "_runtime") == "2h"
    assert position_label(0.25, "epoch") == "0.25"


def test_colours_are_those_of_the_dashboard() -> None:
    code = (scripts.ROOT / "server/web/src/lib/colors.ts").read_text()
    listed = code.partition("export const RUN_COLORS")[2].partition("};")[0]
    light, dark = (re.findall(r"#[0-9a-f]{6}", part) for part in listed.split("dark:"))
    assert (list(LIGHT), list(DARK)) == (light, dark)
    # The numbers that hashOf of the dashboard returned.
    assert [hash_of(text, 42) for text in ("", "abc", "3k2j8x1m", "run-é-名")] == [19, 12, 25, 28]
    assert color_of("abc", dark=True) == dark[12]


def test_wide_and_combining_characters_have_their_columns() -> None:
    canvas = Canvas(6, 3)
    canvas.put(0, 0, "名前が長い", "bold")
    canvas.put(1, 1, "e\u0301abc", width=3)
    canvas.put(2, 4, "beyond")
    canvas.put(9, 0, "outside")
    assert canvas.lines() == ["名前… ", " e\u0301a…  ", "    b…"]
    assert [strip.cell_length for strip in canvas.strips(Style())] == [6, 6, 6]


def test_output_keeps_its_colours_and_no_other_control_character() -> None:
    text = output_text("\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07 \x9b5m\x08\tend\r\x1bc")
    assert text.plain.split() == ["red", "5m", "endc"]
    assert [(span.start, span.end, str(span.style)) for span in text.spans] == [(0, 3, "color(1)")]


def test_a_pattern_is_a_glob_or_a_part_of_a_name() -> None:
    assert matches("val/*", "val/loss") and not matches("val/*", "eval/loss")
    assert matches("LOSS", "val/loss") and matches("", "anything") and not matches("x", "val/loss")
