"""The generated parts of the documentation site: the reference of the command line, the list of decisions."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.cli.main import make_parser


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's Markdown with the generated part added, and without links that leave ``docs``.

    Args:
        markdown: The text of the file.
        page: The page of MkDocs.
    """
    if page.file.src_uri == "reference/cli.md":
        markdown += "\n".join(commands(make_parser()))
    if page.file.src_uri == "decisions/README.md":
        markdown += "\n".join(decisions(Path(page.file.abs_src_path).parent))
    # The repository's other files are not part of the site: their names stay as text.
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)+(?:[\w.-]+/)*(?:CONTRIBUTING|README|CHANGELOG)\.md\)", r"`\1`", markdown
    )


def commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the Markdown of a parser's commands, a section each: usage, description, arguments."""
    for name, command in _choices(parser).items():
        yield from _section(f"tracker {name}", command, 2)


def decisions(folder: Path) -> Iterator[str]:
    """Yield the Markdown of a table of the decisions in a folder: title with link, status."""
    yield from ("\n| decision | status |", "| --- | --- |")
    for path in sorted(folder.glob("[0-9]*.md")):
        title, _, status = path.read_text().split("\n", 3)[:3]
        yield f"| [{title.removeprefix('# ')}]({path.name}) | {status.removeprefix('Status: ')} |"


def _section(name: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"\n{'#' * level} {name}\n"
    yield f"{_sentence(parser.description)}\n"
    usage = " ".join(parser.format_usage().split())
    yield f"```text\n{textwrap.fill(usage, 84, subsequent_indent='    ')}\n```\n"
    rows = [row for group in parser._action_groups for each in group._group_actions if (row := _row(each))]
    if rows:
        yield from ("| argument | meaning |", "| --- | --- |", *rows, "")
    for choice, inner in _choices(parser).items():
        yield from _section(f"{name} {choice}", inner, level + 1)


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return {name: inner for name, inner in each.choices.items() if isinstance(name, str)}
    return {}


def _row(action: argparse.Action) -> str | None:
    if action.help == argparse.SUPPRESS or action.dest in ("help", "verbose"):
        return None
    if isinstance(action, argparse._SubParsersAction):
        return None
    value = "" if action.nargs == 0 else str(action.metavar or (action.dest or "").upper())
    names = ", ".join(f"`{name} {value}`" if value else f"`{name}`" for name in action.option_strings)
    help_text = (
        (action.help or "") % {**vars(action), "prog": ""} if "%(" in (action.help or "") else action.help
    )
    return f"| {names or f'`{value}`'} | {_sentence(help_text)} |"


def _sentence(text: str | None) -> str:
    text = " ".join((text or "").split()).replace("|", "\\|").replace("%%", "%")
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", ":", ")")) else ".")
