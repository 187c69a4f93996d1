"""The query language of run lists: ``state:failed tag:best config.lr>0.01 "vit.*sgd"``.

A query becomes a filter in MongoDB's query language, which ``tracker.store.queries.filters`` compiles to SQL.

    either  = all ("OR" all)*
    all     = one (["AND"] one)*
    one     = ("-" | "NOT") one | "(" either ")" | test
    test    = FIELD OPERATOR VALUE ("," VALUE)* | "has:" FIELD | TEXT

A text is a regular expression that is searched in the name and the id of a run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from tracker.errors import UsageError
from tracker.store.queries.filter_fields import COLUMNS, check_text, shown

LONGEST_QUERY = 10_000
# Less than the depth of filters: a test adds at most two levels.
DEEPEST_QUERY = 15

# Fields of a query. In a query, unlike in a filter, ``name`` is the name that people see.
FIELDS = {
    "name": "display_name",
    "id": "id",
    "state": "state",
    "tag": "tags",
    "tags": "tags",
    "group": "group",
    "job_type": "job_type",
    "host": "host",
    "archived": "archived",
    "notes": "notes",
    "created": "created_at",
    "created_at": "created_at",
    "updated": "updated_at",
    "updated_at": "updated_at",
    "duration": "duration",
    "last_step": "last_step",
}
KEYED = ("config.", "summary.", "summary_metrics.")
OPERATORS = {":": "$eq", "=": "$eq", "==": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt",
             "<=": "$lte", "~": "$regex", "!~": "$regex"}  # fmt: skip
_OPERATOR = re.compile(r":(?:[<>]=?)?|!=|!~|==?|[<>]=?|~")
_NAME = re.compile(r"""[^\s()":=<>~!]+|!(?![=~])""")
_VALUE = re.compile(r'[^\s()",]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}(?:-\d\d){0,2}", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Test(NamedTuple):
    """One test of a query: its filter, and the number of its first character, from 1."""

    filter: dict[str, Any]
    position: int


class Query(NamedTuple):
    """A parsed query: its filter, its tests, to find the test that a later error is about, and short keys."""

    filter: dict[str, Any]
    tests: list[Test]
    short_keys: list[str]


def parse_query(text: str, short: Sequence[str] = ()) -> Query:
    """Return the filter of a query. The filter of an empty query is empty.

    Args:
        text: The query.
        short: Prefixes of fields, such as ``config.``, that the text may leave out. ``KEY`` then names the
            field with any of the prefixes. ``Query.short_keys`` lists these keys.

    Raises:
        UsageError: The query is invalid. The message has the number of the wrong character, from 1.
    """
    if len(text) > LONGEST_QUERY:
        raise UsageError(f"query: the text has more than {LONGEST_QUERY} characters")
    check_text(text)
    return _Parser(text, short).query()


def search_filter(pattern: str) -> dict[str, Any]:
    """Return a filter for runs whose name or id contains a match of a pattern, without regard to case."""
    test = {"$regex": f"(?i){pattern}"}
    return {"$or": [{"display_name": test}, {"id": test}]}


def conjunction(filters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one filter for the runs that match all filters, as one dict where the fields allow it."""
    joined: dict[str, Any] = {}
    apart: list[dict[str, Any]] = []
    for key, test in (item for each in filters for item in each.items()):
        known = joined.get(key)
        if key == "$and":
            apart += test
        elif key.startswith("$"):
            apart.append({key: test})
        elif known is None:
            joined[key] = dict(test)
        elif key != "tags" and not known.keys() & test.keys():
            known.update(test)
        else:
            apart.append({key: test})
    if len(apart) == 1 and not joined:
        return apart[0]
    return {**joined, "$and": apart} if apart else joined


class _Parser:
    def __init__(self, text: str, short: Sequence[str]) -> None:
        self._text = text
        self._short = short
        self._short_keys: list[str] = []
        self._at = 0
        self._tests: list[Test] = []

    def query(self) -> Query:
        self._skip_spaces()
        if self._at == len(self._text):
            return Query({}, [], [])
        found = self._either(0)
        if self._at < len(self._text):  # only a parenthesis ends ``_either`` early
            raise self._refuse("this ) has no (: put a text with parentheses into double quotes")
        return Query(found, self._tests, self._short_keys)

    def _either(self, depth: int) -> dict[str, Any]:
        parts = [self._all(depth)]
        while self._take_word("OR"):
            parts.append(self._all(depth))
        return _one_of(parts)

    def _all(self, depth: int) -> dict[str, Any]:
        parts = [self._one(depth)]
        while self._take_word("AND") or not (self._at_end() or self._sees_word("OR")):
            parts.append(self._one(depth))
        return conjunction(parts)

    def _one(self, depth: int) -> dict[str, Any]:
        if depth > DEEPEST_QUERY:
            raise self._refuse(f"the query is nested more than {DEEPEST_QUERY} levels deep")
        if self._take("-") or self._take_word("NOT"):
            return {"$not": self._one(depth + 1)}
        start = self._at
        if self._take("("):
            found = self._either(depth + 1)
            if not self._take(")"):
                raise self._refuse("this ( is not closed", start)
            return found
        found = self._test()
        if self._at < len(self._text) and not (self._text[self._at].isspace() or self._text[self._at] == ")"):
            raise self._refuse(
                f"unexpected {self._text[self._at]!r}: separate tests by spaces, and put a text with spaces, "
                "parentheses, quotes or operators into double quotes"
            )
        self._skip_spaces()
        self._tests.append(Test(found, start + 1))
        return found

    def _test(self) -> dict[str, Any]:
        start = self._at
        if self._at_end() or any(map(self._sees_word, ("OR", "AND"))):
            raise self._refuse("a test is missing: use FIELD:VALUE or a text")
        if self._sees('"'):
            return search_filter(self._quoted(pattern=True))
        name = self._name()
        operator = _OPERATOR.match(self._text, self._at)
        if operator is None:
            return search_filter(name)
        if name == "has" and operator[0] == ":":
            self._at = operator.end()
            start = self._at
            return _one_of([{each: {"$exists": True}} for each in self._fields(self._name(), start)])
        tests = []
        for field in self._fields(name, start):
            self._at = operator.end()
            tests.append(self._compared(field, operator[0]))
        # A test that is true for a missing value must be true for all fields that a short key names.
        is_null = list(tests[0].values()) == [{"$eq": None}]
        every = is_null if operator[0] != "!=" else list(tests[0].values()) != [{"$ne": None}]
        return conjunction(tests) if every or operator[0] == "!~" else _one_of(tests)

    def _compared(self, field: str, sign: str) -> dict[str, Any]:
        operator = OPERATORS[sign if len(sign) == 1 or sign[0] != ":" else sign[1:]]
        if operator == "$regex":
            test = {"$regex": f"(?i){self._value(field, sign, pattern=True)}"}
            return {"$not": {field: test}} if sign == "!~" else {field: test}
        values = [self._value(field, sign)]
        while operator in ("$eq", "$ne") and self._text.startswith(",", self._at):
            self._at += 1
            values.append(self._value(field, sign))
        if COLUMNS.get(field, (None, ""))[1] == "time":
            return _compare_times(field, operator, values)
        if len(values) > 1:
            return {field: {"$in" if operator == "$eq" else "$nin": values}}
        return {field: {operator: values[0]}}

    def _value(self, field: str, sign: str, *, pattern: bool = False) -> Any:
        if self._sees('"'):
            return self._quoted(pattern=pattern)
        found = _VALUE.match(self._text, self._at)
        if found is None:
            raise self._refuse(f"a value is missing after {sign}")
        self._at = found.end()
        kind = "text" if field == "tags" else COLUMNS.get(field, (None, ""))[1]
        return found[0] if pattern else _plain(found[0], kind)

    def _fields(self, name: str, start: int) -> list[str]:
        """Return the fields of a filter that a name means: one, or several for a short key."""
        if name in FIELDS:
            return [FIELDS[name]]
        if name.startswith(KEYED):
            return [name]
        if self._short:
            self._short_keys.append(name)
            return [prefix + name for prefix in self._short]
        known = f"config.KEY, summary.KEY or one of {', '.join(FIELDS)}"
        hint = f"use {known}; put a text with operators into double quotes"
        raise self._refuse(f"unknown field {shown(name)}: {hint}", start)

    def _name(self) -> str:
        """Return a text or the name of a field, in which a key may be quoted: ``config."my key"``."""
        start = self._at
        while found := _NAME.match(self._text, self._at):
            self._at = found.end()
        name = self._text[start : self._at]
        if name in KEYED and self._sees('"'):
            return name + self._quoted()
        if not name:
            raise self._refuse("a text or the name of a field is missing")
        return name

    def _quoted(self, *, pattern: bool = False) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise self._refuse('this " is not closed')
        self._at = found.end()
        # In a pattern, a backslash belongs to the regular expression, except before a quote.
        return re.sub(r'\\(")' if pattern else r'\\(["\\])', r"\1", found[1])

    def _skip_spaces(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _at_end(self) -> bool:
        return self._at == len(self._text) or self._sees(")")

    def _sees(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _sees_word(self, word: str) -> bool:
        after = self._text[self._at + len(word) : self._at + len(word) + 1]
        return self._sees(word) and (not after or after.isspace() or after in "()")

    def _take(self, text: str) -> bool:
        if not self._sees(text):
            return False
        self._at += len(text)
        self._skip_spaces()
        return True

    def _take_word(self, word: str) -> bool:
        return self._sees_word(word) and self._take(word)

    def _refuse(self, why: str, at: int | None = None) -> UsageError:
        return UsageError(f"query, character {(self._at if at is None else at) + 1}: {why}")


def _one_of(tests: list[dict[str, Any]]) -> dict[str, Any]:
    return tests[0] if len(tests) == 1 else {"$or": tests}


def _plain(text: str, kind: str) -> Any:
    """Return the value of a bare word. In a text column every word but null is a string."""
    word = text.lower()
    if word == "null":
        return None
    if kind == "text" or (kind == "time" and _DATE.fullmatch(text)):
        return text
    if kind in ("", "flag") and word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdecimal() and len(text) < 4000 else float(text)
    return text


def _compare_times(field: str, operator: str, values: list[Any]) -> dict[str, Any]:
    """Return the filter of a time. A date alone is its start; equal to a date is any time of that period."""
    tests: list[dict[str, Any]] = []
    for value in values:
        period = _period(value) if isinstance(value, str) else None
        if period is None or operator not in ("$eq", "$ne"):
            test = {"$eq" if operator == "$ne" else operator: period[0] if period else value}
        else:
            test = {"$gte": period[0], "$lt": period[1]}
        tests.append({field: test})
    joined = _one_of(tests)
    return {"$not": joined} if operator == "$ne" else joined


def _period(text: str) -> tuple[str, str] | None:
    """Return the first day of a year, a month or a day, and the first day after it."""
    if not _DATE.fullmatch(text):
        return None
    try:
        first = date.fromisoformat(text + "-01" * ((10 - len(text)) // 3))
        if len(text) == 10:
            after = first + timedelta(days=1)
        else:
            months = 1 if len(text) == 7 else 12
            after = date(first.year + (first.month + months > 12), (first.month + months - 1) % 12 + 1, 1)
    except (ValueError, OverflowError):
        return None  # the filter refuses the text
    return first.isoformat(), after.isoformat()
