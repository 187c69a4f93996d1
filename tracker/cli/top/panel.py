"""``Panel``: a part of the screen that shows one answer of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from textual.strip import Strip
from textual.widget import Widget

from tracker.cli.top.canvas import Canvas

if TYPE_CHECKING:
    from tracker.cli.top.app import TopApp
    from tracker.cli.top.reads import Source

A = TypeVar("A")


class Panel(Widget, Generic[A], can_focus=True):
    """A part of the screen that shows one answer of the store.

    Attributes:
        KEPT: What is kept for the next start: the names of attributes, with the type of their values or with
            all possible values.
        answer: The shown answer; None until the first one.
        seen: The state of the store and the wish that ``answer`` answers.
    """

    KEPT: ClassVar[Mapping[str, type | tuple[Any, ...]]] = {}

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.answer: A | None = None
        self.seen: Any = None
        self._strips: list[Strip] | None = None

    @property
    def top(self) -> TopApp:
        """The app."""
        return cast("TopApp", self.app)

    @property
    def dark(self) -> bool:
        """Whether the background is dark."""
        return self.app.current_theme.dark

    def kept(self) -> dict[str, Any]:
        """Return what is kept for the next start."""
        return {name.lstrip("_"): getattr(self, name) for name in self.KEPT}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Use what was kept. The file may be damaged: values that the panel cannot have are ignored."""
        for name, possible in self.KEPT.items():
            value = kept.get(name.lstrip("_"), self)
            if isinstance(value, possible) if isinstance(possible, type) else value in possible:
                setattr(self, name, value)

    def wish(self) -> Any:
        """Return what the panel shows now, as a value that can be compared; None for nothing."""
        raise NotImplementedError

    def read(self, source: Source, wish: Any) -> A:
        """Return the answer to a wish. A thread calls the method: it does not use the panel."""
        raise NotImplementedError

    def paint(self, canvas: Canvas) -> None:
        """Paint the panel."""
        raise NotImplementedError

    def show(self, answer: A) -> None:
        """Show an answer."""
        self.answer = answer
        self.repaint()

    def ask(self) -> None:
        """Read and paint again, because the wish has changed."""
        self.repaint()
        self.top.ask()

    def repaint(self) -> None:
        """Paint the panel again."""
        self._strips = None
        self.refresh()

    def on_resize(self) -> None:
        """Ask again: the wish can depend on the size."""
        self.ask()

    def on_focus(self) -> None:
        """Show that the keys belong to this panel."""
        self.repaint()

    def on_blur(self) -> None:
        """Show that the keys belong to another panel."""
        self.repaint()

    def notify_style_update(self) -> None:
        """Paint with the new theme."""
        super().notify_style_update()
        self._strips = None

    def render_line(self, y: int) -> Strip:
        """Return one line of the panel."""
        if self._strips is None or len(self._strips) != self.size.height:
            canvas = Canvas(self.size.width, self.size.height)
            self.paint(canvas)
            self._strips = canvas.strips(self.rich_style)
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)
