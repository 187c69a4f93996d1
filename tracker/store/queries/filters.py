"""Filters of runs in MongoDB's query language, which wandb's public API uses. A filter becomes SQL.

A filter is compiled to a condition on the id of a run. Each test of a field is ``id IN (SELECT run_id ...)``
over one range of an index of ``run_fields``. So a test costs time in proportion to the matching runs, in any
order of the list. Every value is a bound parameter.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, not_, or_, select, true
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground import values
from tracker.store.catalog.models import Run, RunField
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


def resolve(session: Session, project_id: int, field: str) -> str:
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
    known = select(RunField.run_id).where(RunField.project_id == project_id, RunField.field == name).limit(1)
    if session.scalar(known) is not None:
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


def has_archived(session: Session, project_id: int) -> bool:
    """Return whether a project has archived runs."""
    found = select(Run.id).where(Run.project_id == project_id, Run.archived).limit(1)
    return session.scalar(found) is not None


class Filter:
    """A filter of the runs of one project. A filter that does not name ``archived`` excludes archived runs.

    Args:
        session: A read transaction. Patterns are matched when the filter is made.
        project_id: The project whose runs are filtered.
        written: The filter as the user wrote it: a dict of plain values.

    Raises:
        UsageError: The filter is invalid. The message names the wrong field or operator.
    """

    def __init__(self, session: Session, project_id: int, written: Any) -> None:
        self._session = session
        self._project_id = project_id
        self._written = written
        self._matched: dict[tuple[str, str], list[int]] = {}
        self._conditions: dict[bool, ColumnElement[bool]] = {}
        self._hides = self._names_archived = False
        self.on(Run.id)
        self._hides = not self._names_archived and has_archived(session, project_id)

    def on(self, run_id: SQLColumnExpression[int], *, probe: bool = False) -> ColumnElement[bool]:
        """Return the condition on a column of run ids. For ``probe`` see ``FilterScope``."""
        if run_id is not Run.id:
            return self._without_archived(self._compile(self._written, run_id, probe), run_id)
        found = self._conditions.get(probe)
        if found is None:
            found = self._conditions[probe] = self._compile(self._written, run_id, probe)
        return self._without_archived(found, run_id)

    def counted(self) -> Select[int]:
        """Return a query that counts the runs, if possible by reading only one range of an index."""
        names = [canonical(key) for key in self._written]
        # With columns of the run or with groups, the query must read the runs: once in this way.
        apart = any(name in COLUMNS or not name.startswith(("config.", "summary.", "tags")) for name in names)
        for key, test in {} if apart else self._written.items():
            if canonical(key) == "tags":
                continue
            tests = test if isinstance(test, dict) else {"$eq": test}
            scope = FilterScope(self._session, self._project_id, RunField.run_id, False, self._matched)
            field = _field(scope, key)
            found = [field.index_test(operator, operand) for operator, operand in tests.items()]
            index_tests = [each for each in found if each is not None]
            if len(index_tests) == len(found):
                query = select(func.count(RunField.run_id)).where(
                    RunField.project_id == self._project_id, RunField.field == field.name, *index_tests
                )
                rest = {name: other for name, other in self._written.items() if name != key}
                is_all = not rest and not self._hides
                if is_all:
                    return query
                others = self._compile(rest, RunField.run_id, False)
                return query.where(self._without_archived(others, RunField.run_id))
        return select(func.count(Run.id)).where(Run.project_id == self._project_id, self.on(Run.id))

    def _compile(self, written: Any, run_id: SQLColumnExpression[int], probe: bool) -> ColumnElement[bool]:
        scope = FilterScope(self._session, self._project_id, run_id, probe, self._matched)
        compiler = _Compiler(scope)
        found = compiler.group(written, 0)
        self._names_archived = self._names_archived or compiler.names_archived
        return found

    def _without_archived(
        self, found: ColumnElement[bool], run_id: SQLColumnExpression[int]
    ) -> ColumnElement[bool]:
        if not self._hides:
            return found
        if run_id is Run.id:
            return and_(not_(Run.archived), found)
        archived = select(Run.id).where(Run.project_id == self._project_id, Run.archived)
        return and_(run_id.not_in(archived), found)


def _field(scope: FilterScope, key: str) -> Field:
    return Field(scope, key, resolve(scope.session, scope.project_id, key))


class _Compiler:
    def __init__(self, scope: FilterScope) -> None:
        self._scope = scope
        self._conditions = 0
        self._operands = 0
        self.names_archived = False

    def group(self, filters: Any, depth: int) -> ColumnElement[bool]:
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
                found.append(not_(self.group(test, depth + 1)))
            elif key in GROUPS:
                if not isinstance(test, list) or not test:
                    raise UsageError(f"{key} takes a list of filters, not {shown(test)}")
                parts = [self.group(each, depth + 1) for each in test]
                joined = and_(*parts) if key == "$and" else or_(*parts)
                found.append(not_(joined) if key == "$nor" else joined)
            elif key.startswith("$"):
                raise UsageError(f"unknown operator {key}: use {', '.join(GROUPS)}, or the name of a field")
            else:
                found.append(self._tests(self._find_field(key), test, depth))
        return and_(true(), *found)

    def _tests(self, field: FilterField, test: Any, depth: int) -> ColumnElement[bool]:
        """Compile the test of one field: a value, or ``{operator: operand, ...}``."""
        self._check_depth(depth)
        if not (isinstance(test, dict) and any(str(name).startswith("$") for name in test)):
            test = {"$eq": test}
        found, together = [], []
        for operator, operand in test.items():
            self._count()
            if operator == "$not":
                if not isinstance(operand, dict):
                    raise field.refuse(f"$not takes a dict such as {{'$gt': 1}}, not {shown(operand)}")
                found.append(not_(self._tests(field, operand, depth + 1)))
            elif operator == "$exists":
                if operand not in (True, False):
                    raise field.refuse(f"$exists takes true or false, not {shown(operand)}")
                found.append(field.exists() if operand else not_(field.exists()))
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
            found.append(field.holds(and_(*together)))
        return and_(true(), *found)

    def _equality(self, field: FilterField, operator: str, operand: Any) -> ColumnElement[bool]:
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
            return and_(true(), *(field.is_one_of([each]) for each in operand))
        one_of = field.is_one_of(operand)
        return not_(one_of) if operator in ("$ne", "$nin") else one_of

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
