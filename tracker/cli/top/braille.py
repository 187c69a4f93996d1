"""Curves as braille characters: a character has 2 x 4 dots. The functions do not use a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# The value of the dot in each row and column of a braille character.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_EMPTY = 0x2800
# A place where a value is NaN or infinite, in the lowest row.
NOT_FINITE = "\u00d7"


class Curve(NamedTuple):
    """A curve of a chart: columns of equal length, in the order of ``x``.

    Attributes:
        label: The name of the curve.
        sign: One or two characters that tell curves apart without colours.
        run: The path of its run.
        x: The positions.
        low: The smallest value at each position; NaN without a finite value.
        high: The largest value at each position.
        mean: The mean of the values at each position.
        bad: Whether a value at the position is NaN or infinite.
    """

    label: str
    sign: str
    run: tuple[str, str, str]
    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    bad: np.ndarray

    @classmethod
    def of_values(
        cls, label: str, sign: str, run: tuple[str, str, str], x: np.ndarray, y: np.ndarray
    ) -> Curve:
        """Return the curve of single values.

        Args:
            label: The name of the curve.
            sign: See ``Curve``.
            run: The path of its run.
            x: The positions.
            y: The value at each position.
        """
        finite = np.isfinite(y)
        known = np.where(finite, y, np.nan)
        return cls(label, sign, run, x, known, known, known, ~finite)

    def smoothed(self, weight: float) -> Curve:
        """Return the exponential moving average of the means, which starts without a bias."""
        if weight <= 0:
            return self
        found = np.full(len(self.mean), np.nan)
        total = share = 0.0
        for at, value in enumerate(self.mean.tolist()):
            if value == value:
                total = weight * total + (1 - weight) * value
                share = weight * share + 1 - weight
                found[at] = total / share
        return self._replace(low=found, high=found, mean=found)

    def in_log(self) -> Curve:
        """Return the curve of the decimal logarithms. Values of 0 and less are left out."""
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high, mean = (
                np.log10(np.where(each > 0, each, np.nan)) for each in (self.low, self.high, self.mean)
            )
        low = np.where(np.isnan(low), mean, low)  # the smallest value is not positive, but others are
        return self._replace(low=np.where(np.isnan(low), high, low), high=high, mean=mean)


class Range(NamedTuple):
    """The range of an axis."""

    low: float
    high: float

    def share(self, values: np.ndarray) -> np.ndarray:
        """Return the places of values in the range: 0 is the lower end, and 1 the upper end."""
        # Halves, because the difference of two large numbers can be infinite.
        return (values / 2 - self.low / 2) / (self.high / 2 - self.low / 2)


def range_of(columns: Sequence[np.ndarray]) -> Range | None:
    """Return the range of all finite values; None without one. Equal values are in its middle."""
    found = [column[np.isfinite(column)] for column in columns]
    found = [column for column in found if len(column)]
    if not found:
        return None
    low, high = min(float(each.min()) for each in found), max(float(each.max()) for each in found)
    if low == high:
        # A tenth of the value, but never nothing: 0 has no tenth.
        margin = abs(low) / 10 or 0.5
        return Range(low - margin, high + margin)
    return Range(low, high)


class Picture(NamedTuple):
    """A drawn chart.

    Attributes:
        text: The characters of each row.
        owners: For each character, the number of the curve that was drawn last; -1 without one.
    """

    text: list[str]
    owners: np.ndarray


def draw(
    curves: Sequence[Curve], width: int, height: int, x: Range | None = None, y: Range | None = None
) -> Picture:
    """Draw curves over each other. Without a range, the axis has the range of all values.

    Args:
        curves: The curves. A later curve is drawn over the earlier ones.
        width: The number of columns of characters.
        height: The number of rows of characters.
        x: The range of the x axis.
        y: The range of the y axis.
    """
    x = x or range_of([each.x for each in curves])
    y = y or range_of([column for each in curves for column in (each.low, each.high)])
    masks = np.zeros((height, width), int)
    owners = np.full((height, width), -1)
    signs: list[tuple[int, int]] = []
    for number, curve in enumerate(curves):
        if x is None or not len(curve.x):
            continue
        columns = _place(x.share(curve.x), 2 * width)
        if y is not None:
            dots = np.zeros((4 * height, 2 * width), bool)
            rows = [_place(y.share(each), 4 * height) for each in (curve.low, curve.high, curve.mean)]
            _draw_curve(dots, columns, *rows)
            cells = dots[::-1].reshape(height, 4, width, 2)
            mask = (cells * _BITS[None, :, None, :]).sum(axis=(1, 3))
            masks |= mask
            owners[mask > 0] = number
        inside = columns[curve.bad & (columns >= 0) & (columns < 2 * width)]
        signs += [(int(at), number) for at in np.unique(inside.astype(int) // 2)]
    text = [[chr(_EMPTY + mask) if mask else " " for mask in row] for row in masks.tolist()]
    for at, number in signs:
        text[-1][at], owners[-1, at] = NOT_FINITE, number
    return Picture(["".join(row) for row in text], owners)


def _place(share: np.ndarray, dots: int) -> np.ndarray:
    """Return places in an axis as numbers of dots; NaN stays. Places far outside are moved closer."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.rint(np.clip(share, -2, 3) * (dots - 1)))


def _draw_curve(dots: np.ndarray, x: np.ndarray, low: np.ndarray, high: np.ndarray, mean: np.ndarray) -> None:
    """Set the dots of a curve: its range at each position, and the lines from each position to the next."""
    known = np.isfinite(x) & np.isfinite(mean)
    at = np.flatnonzero(known)
    _draw_lines(dots, x[at], low[at], x[at], high[at])
    joined = at[:-1][np.diff(at) == 1]  # no line across a position without a value
    _draw_lines(dots, x[joined], mean[joined], x[joined + 1], mean[joined + 1])


def _draw_lines(dots: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray) -> None:
    """Set the dots of straight lines."""
    steps = np.maximum(np.abs(x1 - x0), np.abs(y1 - y0)).astype(int)
    counts = steps + 1
    which = np.repeat(np.arange(len(counts)), counts)
    done = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = done / np.maximum(steps, 1)[which]
    x = np.rint(x0[which] + share * (x1 - x0)[which]).astype(int)
    y = np.rint(y0[which] + share * (y1 - y0)[which]).astype(int)
    inside = (x >= 0) & (x < dots.shape[1]) & (y >= 0) & (y < dots.shape[0])
    dots[y[inside], x[inside]] = True
