"""Filters of runs in MongoDB's query language, which wandb's public API uses. A filter becomes SQL.

A filter is compiled to a condition on the id of a run. Each test of a field is ``id IN (SELECT run_id ...)``
over one range of an index of ``run_fields``. So a test costs time in proportion to the matching runs, in any
order of the list. Every value is a bound parameter.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from tracker.errors import UsageError
from tracker.ground import values
from tracker.store.catalog.revision_cache import cached
from tracker.store.catalog.sqlite import Reading, read_rows
from tracker.store.queries.conditions import Condition, all_of, any_of, negated
from tracker.store.queries.filter_fields import (
    COLUMNS,
    COMPARISONS,
    Column,
    Field,
    FilterField,
    FilterScope,
    Tags,
    shown,
)

OPERATORS = ("$eq", "$ne", *COMPARISONS, "$in", "$nin", "$exists", "$regex", "$all", "$not")
GROUPS = ("$and", "$or", "$nor", "$not")

# SQLite accepts expressions up to 1,000 levels deep, and 32,766 parameters.
LARGEST_CONDITIONS = 400
LARGEST_DEPTH = 20
LARGEST_OPERANDS = 10_000


def canonical(field: str) -> str:
    """Return the name of a field with ``summary.`` in place of wandb's prefix ``summary_metrics.``."""
    name = field.removeprefix("summary_metrics.")
    return field if name == field else f"summary.{name}"


def resolve(session: Reading, project_id: int, field: str) -> str:
    """Return the name of ``config.KEY`` or ``summary.KEY`` in ``run_fields``.

    wandb also accepts ``config.KEY.value``, and ``config.KEY.value.INNER`` for a dict. The part ``.value`` is
    removed, unless a run of the project has a key with exactly this name.

    Args:
        session: A read transaction.
        project_id: The project.
        field: The name as the user wrote it.
    """
    name = canonical(field)
    parts = name.split(".")
    if parts[0] != "config" or "value" not in parts[2:]:  # "value" in parts[1] is the key itself
        return name
    known = "SELECT 1 FROM run_fields WHERE project_id = ? AND field = ? LIMIT 1"
    if read_rows(session, known, (project_id, name)):
        return name
    at = parts.index("value", 2)
    return ".".join(parts[:at] + parts[at + 1 :])


def parse(text: str) -> Any:
    """Return a filter from its JSON text.

    Raises:
        UsageError: The text is not valid JSON.
    """
    try:
        return values.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"filters: the text is not valid JSON: {error}") from None


def has_archived(session: Reading, project_id: int) -> bool:
    """Return whether a project has archived runs."""
    sql = "SELECT 1 FROM runs WHERE project_id = ? AND archived = 1 LIMIT 1"
    read = partial(read_rows, session, sql, (project_id,))
    return bool(cached(session, ("archived", project_id), read, lambda _: 200))


class Range(NamedTuple):
    """A range of an index of ``run_fields``.

    Attributes:
        condition: The condition on its rows, which are called ``picked``.
        rest: The other tests of the filter.
        of_fields: Whether the other tests are about fields and tags only, but no columns of runs.
    """

    condition: Condition
    rest: dict[str, Any]
    of_fields: bool


class Filter:
    """A filter of the runs of one project. A filter that does not name ``archived`` excludes archived runs.

    Args:
        session: A read transaction. Patterns are matched when the filter is made.
        project_id: The project whose runs are filtered.
        written: The filter as the user wrote it: a dict of plain values.

    Raises:
        UsageError: The filter is invalid. The message names the wrong field or operator.
    """

    def __init__(self, session: Reading, project_id: int, written: Any) -> None:
        self._session = session
        self._project_id = project_id
        self._written = written
        self._matched: dict[tuple[str, str], list[int]] = {}
        self._hides = self._names_archived = False
        self.on("runs.id")
        self._hides = not self._names_archived and has_archived(session, project_id)

    def on(self, run_id: str, *, probe: bool = False) -> Condition:
        """Return the condition on a column of run ids. For ``probe`` see ``FilterScope``."""
        return self._without_archived(self._compile(self._written, run_id, probe), run_id, probe)

    def ranges(self) -> list[Range]:
        """Return the ranges of an index of ``run_fields`` that contain each matching run once."""
        scope = self._scope("picked.run_id", probe=True)._replace(alias="picked")
        tests = _conjuncts(self._written)
        found = []
        for at, (key, test) in enumerate(tests):
            if not _is_field(key):
                continue
            name = canonical(key)
            field = Tags(scope, key, name) if name == "tags" else _field(scope, key)
            rows = field.find_range(_operators(test))
            if rows is not None:
                of_project = Condition("picked.project_id = ?", (self._project_id,))
                others = (*tests[:at], *tests[at + 1 :])
                rest = {"$and": [{each: other} for each, other in others]} if others else {}
                of_fields = all(_is_field(each) for each, _ in others)
                found.append(Range(all_of([of_project, rows]), rest, of_fields))
        return found

    def within(self, rows: Range, *, probe: bool) -> Condition:
        """Return the condition for the rows of a range, called ``picked``, whose runs match."""
        rest = self._compile(rows.rest, "picked.run_id", probe)
        return all_of([rows.condition, self._without_archived(rest, "picked.run_id", probe)])

    def _scope(self, run_id: str, probe: bool) -> FilterScope:
        return FilterScope(self._session, self._project_id, run_id, probe, self._matched)

    def _compile(self, written: Any, run_id: str, probe: bool) -> Condition:
        compiler = _Compiler(self._scope(run_id, probe))
        found = compiler.group(written, 0)
        self._names_archived = self._names_archived or compiler.names_archived
        return found

    def _without_archived(self, found: Condition, run_id: str, probe: bool) -> Condition:
        if not self._hides:
            return found
        archived = Column(self._scope(run_id, probe), "archived", *COLUMNS["archived"])
        return all_of([archived.is_one_of([False]), found])


def _is_field(key: str) -> bool:
    name = canonical(key)
    return name == "tags" or (name not in COLUMNS and name.startswith(("config.", "summary.")))


def _conjuncts(written: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the tests of a filter that must all be true."""
    found: list[tuple[str, Any]] = []
    for key, test in written.items():
        found += (item for each in test for item in _conjuncts(each)) if key == "$and" else [(key, test)]
    return found


def _field(scope: FilterScope, key: str) -> Field:
    return Field(scope, key, resolve(scope.session, scope.project_id, key))


def _operators(test: Any) -> dict[str, Any]:
    """Return the test of a field as ``{operator: operand, ...}``."""
    if isinstance(test, dict) and any(str(name).startswith("$") for name in test):
        return test
    return {"$eq": test}


class _Compiler:
    def __init__(self, scope: FilterScope) -> None:
        self._scope = scope
        self._conditions = 0
        self._operands = 0
        self.names_archived = False

    def group(self, filters: Any, depth: int) -> Condition:
        """Compile ``{field: test, "$and": [...], ...}``: all entries must be true."""
        if not isinstance(filters, dict):
            raise UsageError(f"a filter is a dict such as {{'config.lr': 0.1}}, not {shown(filters)}")
        self._check_depth(depth)
        found = []
        for key, test in filters.items():
            self._count()
            if not isinstance(key, str):
                raise UsageError(f"a filter's keys are names of fields, not {shown(key)}")
            if key == "$not":
                found.append(negated(self.group(test, depth + 1)))
            elif key in GROUPS:
                if not isinstance(test, list) or not test:
                    raise UsageError(f"{key} takes a list of filters, not {shown(test)}")
                parts = [self.group(each, depth + 1) for each in test]
                joined = all_of(parts) if key == "$and" else any_of(parts)
                found.append(negated(joined) if key == "$nor" else joined)
            elif key.startswith("$"):
                raise UsageError(f"unknown operator {key}: use {', '.join(GROUPS)}, or the name of a field")
            else:
                found.append(self._tests(self._find_field(key), test, depth))
        return all_of(found)

    def _tests(self, field: FilterField, test: Any, depth: int) -> Condition:
        """Compile the test of one field: a value, or ``{operator: operand, ...}``."""
        self._check_depth(depth)
        found, together = [], []
        for operator, operand in _operators(test).items():
            self._count()
            if operator == "$not":
                if not isinstance(operand, dict):
                    raise field.refuse(f"$not takes a dict such as {{'$gt': 1}}, not {shown(operand)}")
                found.append(negated(self._tests(field, operand, depth + 1)))
            elif operator == "$exists":
                if operand not in (True, False):
                    raise field.refuse(f"$exists takes true or false, not {shown(operand)}")
                found.append(field.exists() if operand else negated(field.exists()))
            elif operator == "$regex":
                if not isinstance(operand, str):
                    raise field.refuse(f"$regex takes a string, not {shown(operand)}")
                found.append(field.matches(operand))
            elif operator in COMPARISONS:
                together.append(field.compared(operator, operand))
            elif operator in OPERATORS:
                found.append(self._equality(field, operator, operand))
            else:
                raise field.refuse(f"unknown operator {operator!r}: use {', '.join(OPERATORS)}")
        if together:  # as one test, so that the database reads one range of the index
            found.append(field.holds(all_of(together)))
        return all_of(found)

    def _equality(self, field: FilterField, operator: str, operand: Any) -> Condition:
        if operator in ("$eq", "$ne"):
            operand = [operand]
        elif not isinstance(operand, list):
            raise field.refuse(f"{operator} takes a list, not {shown(operand)}")
        self._operands += len(operand)
        if self._operands > LARGEST_OPERANDS:
            raise UsageError(f"the filter has more than {LARGEST_OPERANDS} values")
        if operator == "$all":
            for _ in operand:
                self._count()
            return all_of(field.is_one_of([each]) for each in operand)
        one_of = field.is_one_of(operand)
        return negated(one_of) if operator in ("$ne", "$nin") else one_of

    def _find_field(self, key: str) -> FilterField:
        name = canonical(key)
        self.names_archived = self.names_archived or name == "archived"
        if name in COLUMNS:
            return Column(self._scope, key, *COLUMNS[name])
        if name == "tags":
            return Tags(self._scope, key, name)
        if name.startswith(("config.", "summary.")):
            return _field(self._scope, key)
        known = ", ".join(sorted({name for name in COLUMNS if "." not in name and name.islower()} | {"tags"}))
        raise UsageError(f"cannot filter by {key!r}: use config.KEY, summary_metrics.KEY or one of {known}")

    def _count(self) -> None:
        self._conditions += 1
        if self._conditions > LARGEST_CONDITIONS:
            raise UsageError(f"the filter has more than {LARGEST_CONDITIONS} conditions: use $in")

    def _check_depth(self, depth: int) -> None:
        if depth > LARGEST_DEPTH:
            raise UsageError(f"the filter is nested more than {LARGEST_DEPTH} levels deep")
