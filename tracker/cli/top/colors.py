"""The colours of runs, as on the dashboard (server/web/src/lib/colors.ts, decision 104)."""

from __future__ import annotations

DARK = (
    *("#0999d8", "#fc9000", "#ab6c00", "#09f3fc", "#63abb4", "#ab4800", "#007551"),
    *("#996cfc", "#ea7eab", "#6cbd00", "#cf5a90", "#006ca2", "#3687a2", "#a2b4fc"),
    *("#cf7e87", "#a29009", "#e19990", "#ead86c", "#515acf", "#c6905a", "#00fccf"),
    *("#095af3", "#f3bd87", "#994890", "#b41bb4", "#5acfbd", "#cf99d8", "#f363ea"),
    *("#bdcf00", "#fcabd8", "#63a2fc", "#24e1a2", "#d8ea00", "#5a9063", "#5a75d8"),
    *("#bd6cbd", "#905a75", "#c6ab63", "#ab4851", "#bdeaa2", "#c66c51", "#63d8fc"),
)
LIGHT = (
    *("#0900b4", "#f36c00", "#631b00", "#3690f3", "#00636c", "#a23f09", "#2d2d5a"),
    *("#6336e1", "#d875a2", "#12ab5a", "#bd0075", "#096cab", "#2d48a2", "#757ec6"),
    *("#872448", "#630936", "#a26363", "#d83f12", "#3f0990", "#753600", "#24a2a2"),
    *("#1263fc", "#fc5a7e", "#752d87", "#cf63fc", "#6399c6", "#7e5187", "#875ac6"),
    *("#7e7509", "#b45a87", "#1b2dc6", "#3f7ea2", "#879924", "#09512d", "#5151bd"),
    *("#5a0975", "#5a3663", "#a27548", "#b42d51", "#5a9975", "#a2092d", "#3675e1"),
)
_WORD = 0xFFFFFFFF


def color_of(text: str, *, dark: bool) -> str:
    """Return the colour of a run by its id, or of another line by its name."""
    colors = DARK if dark else LIGHT
    return colors[hash_of(text, len(colors))]


def hash_of(text: str, count: int) -> int:
    """Return a number below ``count`` that depends on a text alone, as ``hashOf`` of the dashboard."""
    found = 0x811C9DC5
    for byte in text.encode("utf-8", "replace"):
        found = ((found ^ byte) * 0x01000193) & _WORD
    found = ((found ^ (found >> 15)) * 0x2C1B3C6D) & _WORD
    return (found ^ (found >> 13)) % count
