"""Prose is plain technical English: phrases that readers had to read twice do not come back.

python tests/test_prose.py [FILE ...]    list the phrases of the given files, or of all files
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENDINGS = (".py", ".pyi", ".md", ".ts", ".svelte", ".html", ".sh", ".yml", ".yaml", ".toml")
# Frozen texts, answers of other programs, and this list itself.
EXCLUDED = ("tests/fixtures/", "tests/differential/golden/", "tests/test_prose.py")

# A phrase, and what to write instead.
PHRASES = {
    r"\b(lies|lay)\b": "is, is stored",
    r"\b(stands|stood)\b": "is, means, contains",
    r"\b(goes|go|went|gone|going) on\b": "continues, resumes",
    r"\b[Ww]hoever\b|(^|[.:;] )Who\b": "name the person or the process",
    r"\bso many\b": "give the number or the limit",
    r"\bhas the word\b": "takes precedence",
    r"(?<![Tt]here )\b(is|are) no\b": "is not a, does not have",
    r"\banew\b": "again",
    r"\b[Bb]eside\b": "next to; in addition to",
    r"\b([Nn]obody|[Ss]omebody)\b": "name the process or the person",
    r"\b(says|said|speaks)\b": "contains, records, reports, states",
    r'(^|[.;] |"""|(?<!#)# )What\b': "start with the noun",
    r"\bof which\b": "use two sentences",
    r"\blaid over\b|\b[Ll]aying over\b|\blays over\b": "applied on top of",
    r"\bgive(s)? the word\b|\bas ever\b|\bmakes no\b": "say it plainly",
}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line of prose: comments and strings of Python, else every line."""
    text = path.read_text()
    if path.suffix not in (".py", ".pyi"):
        yield from enumerate(text.split("\n"), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_text = token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE"
        if token.type == tokenize.COMMENT or (is_text and " " in token.string):
            yield from enumerate(token.string.split("\n"), token.start[0])


def find(paths: list[str]) -> Iterator[str]:
    """Yield a line for each phrase that is found: file, line, phrase, what to write instead."""
    for path in paths:
        if path.endswith(ENDINGS) and not path.startswith(EXCLUDED) and (ROOT / path).is_file():
            for number, line in texts(ROOT / path):
                for phrase, instead in PHRASES.items():
                    if found := re.search(phrase, line):
                        yield f"{path}:{number}: {found[0].strip()!r} ({instead}): {line.strip()[:100]}"


def tracked() -> list[str]:
    """Return the files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_no_phrase_that_readers_stumbled_over() -> None:
    assert list(find(tracked())) == []


if __name__ == "__main__":
    print(*find(sys.argv[1:] or tracked()), sep="\n")
