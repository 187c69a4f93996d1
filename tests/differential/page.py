"""The writer of docs/compatibility.md: ``python tests/differential/page.py``.

The page is generated from the scripts in ``corpus`` with their declared differences, the recorded names, and
tracker itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

from differential import corpus_here, faults, golden, server_differences, surface
from differential.script import Script
from differential.surface_differences import DELIBERATE, NOT_YET
from differential.unsupported import unsupported

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"

_HEAD = """\
# Compatibility with wandb

`python tests/differential/page.py` generates this page from the tests, and a test checks that the page is up
to date. Small scripts for wandb run once with the real client (wandb {version}, offline) and once with
tracker. The tests compare the records and the results of each script field by field: config, history,
summary, metrics, files, artifacts, tags, exit code, return values and errors. An error must have wandb's type
or a subclass of it. Its text must contain the words that scripts look for.
"""
_VERSION = "0.31.0"


def text() -> str:
    """Return the page."""
    return "\n".join(
        [
            _HEAD.format(version=_VERSION),
            *_same(),
            *_deliberate(),
            *_server(),
            *_names(),
            *_unsupported(),
            *_faults(),
        ]
    )


def _same() -> Iterator[str]:
    yield "## Scripts\n"
    yield from _table(("area", "scripts", "equal", "with deliberate differences", "with faults"))
    corpus = corpus_here.load()
    totals = [0, 0, 0, 0]
    for area, group in groupby(corpus.values(), key=lambda script: script.area):
        counts = _counts(list(group))
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        yield _row(area, *counts)
    yield _row("**all**", *totals)
    yield ""


def _counts(scripts: list[Script]) -> list[int]:
    faulty = [script for script in scripts if script.key in faults.KNOWN]
    declared = [script for script in scripts if script.differences and script not in faulty]
    return [len(scripts), len(scripts) - len(faulty) - len(declared), len(declared), len(faulty)]


def _deliberate() -> Iterator[str]:
    yield "## Deliberate differences\n"
    yield "The scripts in `tests/differential/corpus` declare them, with the result of tracker.\n"
    yield from _table(("script", "wandb", "tracker", "reason"))
    rows: dict[tuple[str, str, str], list[str]] = {}
    for key, script in corpus_here.load().items():
        for difference in script.differences:
            keys = rows.setdefault((difference.wandb, difference.tracker, difference.because), [])
            if key not in keys:
                keys.append(key)
    for (wandb, tracker, because), keys in rows.items():
        yield _row(", ".join(keys), wandb, tracker, because)
    yield ""


def _server() -> Iterator[str]:
    yield "## The real client with a server\n"
    yield (
        "The scripts also run with the real client online, against a server of tracker. Its store has the "
        "same runs as\nthe native store, except where only the client decides: the deliberate differences "
        "above, where the store has\nwandb's value, and these.\n"
    )
    yield from _table(("script", "place", "reason"))
    for key, places in server_differences.KNOWN.items():
        yield from (_row(key, f"`{place}`", reason) for place, reason in places.items())
    yield ""


def _names() -> Iterator[str]:
    recorded = golden.load_surface()
    here = surface.look("tracker", {owner: list(names) for owner, names in recorded.items()})
    yield "## Names\n"
    yield "Public names of the real client. A name is equal if tracker accepts the same arguments.\n"
    yield from _table(("owner", "names", "equal", "different"))
    for owner, names in recorded.items():
        misfits = surface.misfits(owner, names, here[owner])
        yield _row(f"`{owner}`", len(names), len(names) - len(misfits), len(misfits))
    yield ""
    if DELIBERATE:
        yield from _table(("name", "difference"))
        yield from (_row(f"`{name}`", reason) for name, reason in DELIBERATE.items())
        yield ""


def _unsupported() -> Iterator[str]:
    yield "## Names that raise UnsupportedError\n"
    yield from _table(("name", "message"))
    yield from (_row(f"`{name}`", message) for name, message in unsupported().items())
    yield ""


def _faults() -> Iterator[str]:
    if faults.KNOWN or NOT_YET:
        yield "## Known faults\n"
        yield "Unwanted differences that are not fixed yet: places in outcomes, and names.\n"
        yield from (f"* {key}: {', '.join(places)}" for key, places in faults.KNOWN.items())
        yield from (f"* `{name}`: {why}" for name, why in NOT_YET.items())
        yield ""


def _table(heads: tuple[str, ...]) -> Iterator[str]:
    yield _row(*heads)
    yield _row(*["---"] * len(heads))


def _row(*cells: object) -> str:
    return f"| {' | '.join(_cells(cells))} |"


def _cells(cells: Iterable[object]) -> Iterator[str]:
    return (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)


if __name__ == "__main__":
    PAGE.write_text(text())
