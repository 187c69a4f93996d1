"""Output as the lines that a terminal would show. A progress bar is one line, not a thousand.

All streams share one numbering: a line gets its number with its first text. Colours are kept, as the wandb
client keeps them in ``output.log``. Cursor movements (carriage return, backspace, up, down, erase) are
applied. Other control sequences are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# The number of last lines of a stream that can still be overwritten.
WINDOW = 32
# A longer line continues in the next line.
LONGEST_LINE = 256 * 1024
# The longest incomplete sequence at the end of a write whose rest may still come.
_LONGEST_SEQUENCE = 64

_CONTROL = re.compile(
    r"\x1b\[[0-9;:?<=>!]*[@-~]"  # a control sequence
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # a command to the terminal: its title, a link
    r"|\x1b[^\[\]]"
    r"|[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f]"
)
_CUT = re.compile(r"\x1b(?:\[[0-9;:?<=>!]*|\][^\x07\x1b]*\x1b?)?\Z")

Line = tuple[int, int, str]


class _DrawnLine:
    """A line that is being written: text pieces until something is overwritten, then single cells."""

    __slots__ = ("cells", "number", "pieces", "redrawn", "tail", "width")

    def __init__(self) -> None:
        self.number = -1
        self.pieces: list[str] = []
        self.width = 0
        self.cells: list[str] | None = None
        self.tail = ""  # colours after the last cell
        self.redrawn = False

    @property
    def text(self) -> str:
        if self.cells is None:
            return "".join(self.pieces)
        text = "".join(self.cells) + self.tail
        return text.rstrip(" ") if self.redrawn else text

    def put(self, text: str, column: int) -> int:
        """Write plain text at a column. Return the column after it."""
        if self.cells is None and column == self.width:
            self.pieces.append(text)
            self.width += len(text)
            return self.width
        cells = self._as_cells()
        if column < len(cells):
            self.redrawn = True
        if column > len(cells):
            cells += [" "] * (column - len(cells))
        cells[column : column + len(text)] = list(text)
        return column + len(text)

    def colour(self, sequence: str, column: int) -> None:
        """Start a colour at a column."""
        cells = self._as_cells()
        if column >= len(cells):
            self.tail += sequence
        else:  # the colour is a part of the cell, and is lost if the cell is overwritten
            cells[column] = sequence + cells[column][-1]

    def erase(self, column: int, mode: str) -> None:
        """Erase from a column to the end (mode 0), from the start to the column (1), or all (2)."""
        cells = self._as_cells()
        self.redrawn = True
        if mode == "1":
            cells[: column + 1] = [" "] * min(column + 1, len(cells))
        else:
            del cells[0 if mode == "2" else column :]
            self.tail = ""

    def _as_cells(self) -> list[str]:
        if self.cells is None:
            self.cells = list("".join(self.pieces))
            self.pieces = []
        return self.cells


class _Stream:
    """The last lines of one stream, and its cursor."""

    __slots__ = ("column", "left", "lines", "row")

    def __init__(self) -> None:
        self.lines = [_DrawnLine()]
        self.row = self.column = 0
        self.left = ""


# Added to 1 and 2 for output of children, which must not continue a line of this process.
CHILDREN = 2


class Screen:
    """Converts text that is written to stdout (1) and stderr (2) into numbered lines."""

    def __init__(self) -> None:
        self._streams = {stream + source: _Stream() for stream in (1, 2) for source in (0, CHILDREN)}
        self._next = 0
        self._changed: dict[int, tuple[int, _DrawnLine]] = {}
        self._returned: set[int] = set()

    def feed(self, stream: int, text: str) -> None:
        """Process text of a stream. For output of children, add ``CHILDREN`` to ``stream``."""
        state = self._streams[stream]
        text = state.left + text
        state.left = ""
        at = 0
        for match in _CONTROL.finditer(text):
            if match.start() > at:
                self._write(stream, state, text[at : match.start()])
            self._control(stream, state, match[0])
            at = match.end()
        rest = text[at:]
        cut = _CUT.search(rest)
        if cut is not None and len(rest) - cut.start() <= _LONGEST_SEQUENCE:
            state.left, rest = rest[cut.start() :], rest[: cut.start()]
        if rest:
            self._write(stream, state, rest)

    def take(self, *, drawing: bool) -> list[Line]:
        """Return the lines that have changed since the last call.

        Args:
            drawing: Whether to include incomplete lines, and lines that were returned before.
        """
        found: list[Line] = []
        for number, (stream, line) in sorted(self._changed.items()):
            state = self._streams[stream]
            current = state.lines[state.row] is line
            if drawing or not (current or number in self._returned):
                found.append((number, (stream - 1) % CHILDREN + 1, line.text))
                del self._changed[number]
                self._returned.add(number)
        if len(self._returned) > 8 * WINDOW:
            kept = {line.number for state in self._streams.values() for line in state.lines}
            self._returned &= kept
        return found

    @property
    def has_changed(self) -> bool:
        """Whether ``take(drawing=True)`` would return a line."""
        return bool(self._changed)

    def _write(self, stream: int, state: _Stream, text: str) -> None:
        for piece in _pieces(text):
            line = state.lines[state.row]
            column = state.column
            if line.tail and column >= (len(line.cells) if line.cells is not None else 0):
                tail, line.tail = line.tail, ""
                state.column = line.put(piece, column)
                if line.cells is not None:
                    line.cells[column] = tail + line.cells[column]
            else:
                state.column = line.put(piece, column)
            self._mark(stream, line)
            if state.column >= LONGEST_LINE:
                self._down(stream, state)

    def _control(self, stream: int, state: _Stream, sequence: str) -> None:
        if sequence == "\n":
            self._down(stream, state)
        elif sequence == "\r":
            state.column = 0
        elif sequence == "\b":
            state.column = max(0, state.column - 1)
        elif sequence.startswith("\x1b["):
            self._sequence(stream, state, sequence[2:-1], sequence[-1])

    def _sequence(self, stream: int, state: _Stream, parameters: str, kind: str) -> None:
        line = state.lines[state.row]
        if kind == "m":
            line.colour(f"\x1b[{parameters}m", state.column)
            return
        count = int(parameters) if parameters.isdigit() else 1
        if kind in "AF":
            state.row = max(0, state.row - count)
        elif kind in "BE":
            state.row = min(len(state.lines) - 1, state.row + count)
        elif kind == "C":
            state.column = min(state.column + count, LONGEST_LINE)
        elif kind == "D":
            state.column = max(0, state.column - count)
        elif kind == "G":
            state.column = min(max(0, count - 1), LONGEST_LINE)
        elif kind == "K":
            line.erase(state.column, parameters or "0")
            if line.number >= 0:
                self._mark(stream, line)
        if kind in "EF":
            state.column = 0

    def _down(self, stream: int, state: _Stream) -> None:
        line = state.lines[state.row]
        if line.number < 0:
            self._mark(stream, line)  # empty lines get a number too
        state.row += 1
        state.column = 0
        if state.row == len(state.lines):
            state.lines.append(_DrawnLine())
            if len(state.lines) > WINDOW:
                del state.lines[0]
                state.row -= 1

    def _mark(self, stream: int, line: _DrawnLine) -> None:
        if line.number < 0:
            line.number = self._next
            self._next += 1
        self._changed[line.number] = (stream, line)


def _pieces(text: str) -> Iterator[str]:
    for at in range(0, len(text), LONGEST_LINE):
        yield text[at : at + LONGEST_LINE]
