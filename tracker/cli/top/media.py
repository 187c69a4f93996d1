"""The panel with the media of a run: images in half blocks, other media in lines."""

from __future__ import annotations

from bisect import bisect_right

from rich.text import Text
from textual.binding import Binding
from textual.events import Click

from tracker.cli.output import one_line
from tracker.cli.top.canvas import Canvas, Place
from tracker.cli.top.panel import Panel
from tracker.cli.top.pictures import Row
from tracker.cli.top.reads import Media, MediaAsked, Path, Source
from tracker.cli.top.texts import wrapped

_FIRST, _LAST = -(10**12), 10**12


class MediaPanel(Panel[Media]):
    """The media of the run of the cursor: the newest ones, until the user steps back.

    Attributes:
        pattern: Only keys that match are shown.
    """

    KEPT = {"pattern": str}
    BINDINGS = [
        Binding("left", "step(-1)", "Step", key_display="← →"),
        Binding("right", "step(1)", "next step", show=False),
        Binding("home", f"step({_FIRST})", "first step", show=False),
        Binding("end", f"step({_LAST})", "newest step", show=False),
        Binding("up", "choose(-1)", "previous image", show=False),
        Binding("down", "choose(1)", "next image", show=False),
        Binding("n,pagedown", "page(1)", "Page"),
        Binding("pageup,p", "page(-1)", "previous page", show=False),
        Binding("enter", "enlarge(True)", "Enlarge"),
        Binding("escape", "enlarge(False)", "back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("media")
        self.pattern = ""
        self._run: Path | None = None
        self._step: int | None = None  # None: the newest media are followed
        self._chosen = 0
        self._enlarged = False

    def wish(self) -> MediaAsked | None:
        """See ``Panel.wish``."""
        run = self.top.current
        if run != self._run:
            self._run, self._step, self._chosen, self._enlarged = run, None, 0, False
        if run is None or not self.size.width:
            return None
        true_color = self.app.console.color_system == "truecolor"
        what = (run, self.pattern, self._step, self._chosen, self._enlarged)
        return MediaAsked(*what, *self.size, self.dark, true_color)

    def read(self, source: Source, wish: MediaAsked) -> Media:
        """See ``Panel.read``."""
        return source.media(wish)

    def filter(self, pattern: str) -> None:
        """Show only the keys that match."""
        self.pattern, self._chosen, self._enlarged = pattern, 0, False
        self.ask()

    def action_step(self, steps: int) -> None:
        """Show another step: the next one with media in this direction, the first or the newest."""
        known = self.answer.steps if self.answer is not None else []
        if not known:
            return
        at = len(known) - 1 if self._step is None else bisect_right(known, self._step) - 1
        at = max(0, min(at + steps, len(known) - 1))
        self._step = known[at] if at < len(known) - 1 else None
        self.ask()

    def action_choose(self, images: int) -> None:
        """Choose another image."""
        if self.answer is not None and self.answer.total:
            self._chosen = max(0, min(self._chosen + images, self.answer.total - 1))
            self.ask()

    def action_page(self, pages: int) -> None:
        """Show another page of images."""
        if self.answer is not None:
            self.action_choose(pages * len(self.answer.tiles))

    def action_enlarge(self, enlarged: bool) -> None:
        """Enlarge the chosen image, or show all again; then return to the list of runs."""
        if not (enlarged or self._enlarged):
            self.top.focus_runs()
        self._enlarged = enlarged
        self.ask()

    def on_click(self, event: Click) -> None:
        """Choose the clicked image; enlarge the chosen one."""
        for at, tile in enumerate(self.answer.tiles if self.answer is not None else []):
            place = tile.place
            if 0 <= event.y - place.row < place.height and 0 <= event.x - place.column < place.width:
                assert self.answer is not None
                number = self.answer.first + at
                self._enlarged = number == self._chosen and not self._enlarged
                self._chosen = number
                self.ask()

    def on_mouse_scroll_down(self) -> None:
        """Show the next page."""
        self.action_page(1)

    def on_mouse_scroll_up(self) -> None:
        """Show the previous page."""
        self.action_page(-1)

    def paint(self, canvas: Canvas) -> None:
        """See ``Panel.paint``."""
        answer = self.answer
        if answer is None or answer.asked.run != self.top.current:
            canvas.put(1, 1, "Reading..." if self.top.current else "No run is chosen.", "dim")
            return
        if not answer.steps:
            canvas.put(2, 1, "No media match." if answer.asked.pattern else "No media yet.")
            return
        canvas.put(0, 1, self._heading(answer), "dim")
        for at, tile in enumerate(answer.tiles, answer.first):
            place, inner = tile.place, tile.place.inner
            style = "bold" if at == min(self._chosen, answer.total - 1) and self.has_focus else "dim"
            canvas.box(place, tile.title, style)
            canvas.put(
                place.row + place.height - 1, place.column + 2, f" {tile.caption} ", "dim", place.width - 4
            )
            _paint_picture(canvas, inner, tile.picture)
        rows = canvas.height - 1 if not answer.tiles else canvas.height // 3
        shown = answer.others[:rows]
        if len(shown) < len(answer.others):
            shown[-1] = f"and {len(answer.others) - len(shown) + 1} more"
        for at, line in enumerate(shown):
            canvas.put(canvas.height - len(shown) + at if answer.tiles else 1 + at, 1, line)

    def _heading(self, answer: Media) -> str:
        asked, steps = answer.asked, answer.steps
        at = len(steps) if asked.step is None else bisect_right(steps, asked.step)
        parts = [f"step {steps[max(at - 1, 0)]}", f"{max(at, 1)} of {len(steps)}"]
        if answer.total > len(answer.tiles):
            first, last = answer.first + 1, answer.first + len(answer.tiles)
            shown = f"images {first}-{last}" if last > first else f"image {first}"
            parts.append(f"{shown} of {answer.total}")
        if asked.pattern:
            parts.append(f"filter {one_line(asked.pattern)}")
        return "  ".join(parts)


def _paint_picture(canvas: Canvas, place: Place, picture: list[Row] | str) -> None:
    """Paint an image in the middle of a place, or the lines that tell why there is none."""
    if isinstance(picture, str):
        for at, line in enumerate(wrapped(Text(picture), place.width)[: place.height]):
            canvas.put(place.row + at, place.column, line.plain, "dim")
        return
    top = place.row + (place.height - len(picture)) // 2
    for at, styles in enumerate(picture):
        canvas.put_styles(top + at, place.column + (place.width - len(styles)) // 2, "▀", styles)
