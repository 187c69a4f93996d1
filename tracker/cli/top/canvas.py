"""A grid of characters with styles, on which the panels of the screen are painted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from tracker.cli.output import width_of

# Knows how a text with styles becomes segments. It prints nothing.
CONSOLE = Console(color_system=None)


class Place(NamedTuple):
    """A place on a panel."""

    row: int
    column: int
    height: int
    width: int

    @property
    def inner(self) -> Place:
        """The place inside a box."""
        return Place(self.row + 1, self.column + 1, self.height - 2, self.width - 2)


class Canvas:
    """A grid of characters. Everything outside is left out.

    Args:
        width: The number of columns.
        height: The number of rows.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        # A wide character takes two cells: the second one is empty.
        self._rows: list[list[tuple[str, str | Style]]] = [[(" ", "")] * width for _ in range(height)]

    def put(self, row: int, column: int, text: str, style: str = "", width: int | None = None) -> None:
        """Write a line of text without control characters.

        Args:
            row: The row.
            column: The first column.
            text: The text.
            style: The style, in the language of rich: ``bold #ff0000``.
            width: The maximum number of columns, with ``…`` in place of the removed end.
        """
        if not 0 <= row < self.height:
            return
        end = self.width if width is None else min(self.width, column + width)
        cells = self._rows[row]
        short = cell_len(text) > end - column
        for each in text:
            size = cell_len(each)
            if size == 0:  # a combining character
                if 0 < column <= self.width:
                    cells[column - 1] = (cells[column - 1][0] + each, cells[column - 1][1])
                continue
            if column + size > end - short:
                break
            if column >= 0:
                cells[column : column + size] = [(each, style), *[("", style)] * (size - 1)]
            column += size
        if short and 0 <= column < end:
            cells[column] = ("…", style)

    def put_text(self, row: int, column: int, text: Text) -> None:
        """Write a line of text with its own styles.

        Args:
            row: The row.
            column: The first column.
            text: The text, without control characters.
        """
        for segment in text.render(CONSOLE):
            self.put(row, column, segment.text, str(segment.style or ""))
            column += cell_len(segment.text)

    def put_styles(self, row: int, column: int, text: str, styles: Sequence[Style]) -> None:
        """Write a character of one column in several styles, one after the other.

        Args:
            row: The row.
            column: The first column.
            text: The character.
            styles: The styles.
        """
        if 0 <= row < self.height:
            self._rows[row][column : column + len(styles)] = [
                (text, style) for style in styles[: max(self.width - column, 0)]
            ]

    def box(self, place: Place, title: str, style: str) -> None:
        """Draw a box with a title. Of a long title, the end is shown: it differs more often.

        Args:
            place: The place.
            title: The title.
            style: The style of the box.
        """
        row, column, height, width = place
        self.put(row, column, f"╭{'─' * (width - 2)}╮", style)
        for at in range(row + 1, row + height - 1):
            self.put(at, column, "│", style)
            self.put(at, column + width - 1, "│", style)
        self.put(row + height - 1, column, f"╰{'─' * (width - 2)}╯", style)
        space = width - 6
        if width_of(title) > space:
            while width_of(title) > space - 1:
                title = title[1:]
            title = f"…{title}"
        self.put(row, column + 2, f" {title} ", style.replace("dim", "bold"))

    def mark(self, row: int, style: str, first: int = 0, last: int | None = None) -> None:
        """Replace the style of the cells of a row.

        Args:
            row: The row.
            style: The new style.
            first: The first column.
            last: The column after the last one; None for the end of the row.
        """
        if 0 <= row < self.height:
            cells = self._rows[row]
            for at in range(max(first, 0), self.width if last is None else min(last, self.width)):
                cells[at] = (cells[at][0], style)

    def strips(self, base: Style) -> list[Strip]:
        """Return the rows for the screen.

        Args:
            base: The style of the panel.
        """
        return [
            Strip([Segment(text, base + style) for text, style in _runs_of(row)], self.width)
            for row in self._rows
        ]

    def lines(self) -> list[str]:
        """Return the text of the rows."""
        return ["".join(text for text, _ in row) for row in self._rows]


def _runs_of(row: list[tuple[str, str | Style]]) -> Iterator[tuple[str, Style]]:
    for style, cells in groupby(row, key=itemgetter(1)):
        yield "".join(text for text, _ in cells), Style.parse(style) if isinstance(style, str) else style
