"""A program in a real terminal: a pseudoterminal whose screen pyte keeps."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyte

# A test that waits longer fails with the screen. Other programs can slow the machine down.
LONGEST_SECONDS = 90.0
# The answers of a terminal to the questions of programs: the attributes, the place of the cursor.
_ANSWERS = {b"\x1b[c": b"\x1b[?62c", b"\x1b[6n": b"\x1b[1;1R"}


# Sequences whose letters pyte would show as text: those of the keyboard protocol, and questions about modes.
_UNKNOWN = re.compile(rb"\x1b\[(?:[<>=][0-9;]*|\?[0-9;]*\$|\?(?=[0-9;]*[^0-9;hl])[0-9;]*)[a-zA-Z]")
# The beginning of a sequence at the end of a piece.
_INCOMPLETE = re.compile(rb"(?:\x1b(?:\[[<>=?0-9;$]*)?)?\Z")


class Terminal:
    """A program in a terminal.

    Attributes:
        file: The descriptor of the terminal.
        received: Everything that the program wrote.

    Args:
        command: The command.
        folder: Its working folder.
        environment: Its environment.
        rows: The number of rows.
        columns: The number of columns.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        *,
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.received = bytearray()
        self._rest = b""
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], list(command), environment)
        self._status: int | None = None
        self._set_size(rows, columns)
        self.modes = termios.tcgetattr(self.file)

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal, as its window does."""
        self.screen.resize(rows, columns)
        self._set_size(rows, columns)

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self.file, keys.encode())

    @property
    def lines(self) -> list[str]:
        """The rows of the screen, without spaces at their ends."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self.lines)

    def wait_for(self, condition: Callable[[], Any] | str) -> None:
        """Wait until the screen has a text, or until a condition is true.

        Raises:
            AssertionError: The program ended, or the condition does not become true.
        """
        end = time.monotonic() + LONGEST_SECONDS
        while not (condition in self.text if isinstance(condition, str) else condition()):
            assert time.monotonic() < end, f"waited for {condition!r}:\n{self.text}"
            assert self._read(), f"ended before {condition!r}:\n{self.text}"

    def wait(self) -> int:
        """Return the exit status of the program, after everything that it wrote was read."""
        while self._read():
            pass
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def close(self) -> None:
        """Kill the program if it is still running."""
        if self._status is None:
            os.kill(self.pid, 9)
            self.wait()
        os.close(self.file)

    def _read(self) -> bool:
        """Read a piece of output, or wait a moment for it; return whether the program still runs."""
        if not select.select([self.file], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self.file, 65536)
        except OSError:  # the last process that has the terminal has ended
            return False
        self.received += piece
        for question, answer in _ANSWERS.items():
            if question in piece:
                os.write(self.file, answer)
        piece = self._rest + piece
        cut = len(piece) - len(_INCOMPLETE.search(piece)[0])  # type: ignore[index]
        piece, self._rest = piece[:cut], piece[cut:]
        self._stream.feed(_UNKNOWN.sub(b"", piece))
        return True
