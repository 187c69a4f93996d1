"""The fields of a filter: keys of the config or the summary, the tags, and columns of the run.

Each field makes SQL conditions on the id of a run. A condition is true or false, never NULL, so that NOT
works: a run without a key fulfils the condition that the key is not 3.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

from sqlalchemy.orm import InstrumentedAttribute

from tracker.errors import UsageError
from tracker.ground import values
from tracker.store.catalog.models import Run
from tracker.store.catalog.revision_cache import cached
from tracker.store.catalog.run_index import LONGEST_TEXT, OTHER, Value, value_of
from tracker.store.catalog.sqlite import Reading, read_rows
from tracker.store.queries.conditions import FALSE, Condition, all_of, among, any_of, negated, one_of

Kind = Literal["text", "number", "time", "flag"]

# The names of columns, both wandb's and ours. In wandb's API a run's ``name`` is its id.
COLUMNS: dict[str, tuple[InstrumentedAttribute[Any], Kind]] = {
    "name": (Run.run_id, "text"),
    "id": (Run.run_id, "text"),
    "display_name": (Run.name, "text"),
    "displayName": (Run.name, "text"),
    "state": (Run.state, "text"),
    "group": (Run.group, "text"),
    "job_type": (Run.job_type, "text"),
    "jobType": (Run.job_type, "text"),
    "notes": (Run.notes, "text"),
    "host": (Run.host, "text"),
    "archived": (Run.archived, "flag"),
    "created_at": (Run.created_at, "time"),
    "createdAt": (Run.created_at, "time"),
    "updated_at": (Run.updated_at, "time"),
    "updatedAt": (Run.updated_at, "time"),
    "heartbeat_at": (Run.updated_at, "time"),
    "heartbeatAt": (Run.updated_at, "time"),
    "duration": (Run.duration, "number"),
    "last_step": (Run.last_step, "number"),
    "summary._step": (Run.last_step, "number"),
    "summary._runtime": (Run.duration, "number"),
    "summary._timestamp": (Run.updated_at, "time"),
}

COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class FilterScope(NamedTuple):
    """The query for which a field makes conditions.

    Attributes:
        session: A read transaction.
        project_id: The project whose runs are filtered.
        run_id: The column that contains a run's id: ``runs.id``, or that of another table that the query
            reads row by row.
        probe: Test each run that the query reads, instead of first listing all matching runs. This is
            cheaper if many runs match and the query reads only few.
        matched: The ids of the runs that each key and pattern has matched, as a cache.
        alias: The name that the query gives to the table with the tested rows.
    """

    session: Reading
    project_id: int
    run_id: str
    probe: bool
    matched: dict[tuple[str, str], list[int]]
    alias: str = "test"


class FilterField(ABC):
    """A field that a filter names. Its methods return conditions on the field.

    Args:
        scope: The query.
        key: The name of the field as the user wrote it.

    Raises:
        UsageError: The name or a value is invalid. Every method can raise this error.
    """

    def __init__(self, scope: FilterScope, key: str) -> None:
        self.scope = scope
        self.key = key
        check_text(key)

    @abstractmethod
    def holds(self, test: Condition) -> Condition:
        """Return a condition for the runs whose value makes ``test`` true."""

    @abstractmethod
    def exists(self) -> Condition:
        """Return a condition for the runs that have a value other than None."""

    @abstractmethod
    def compared(self, operator: str, operand: Any) -> Condition:
        """Return a comparison of the value with ``operand``: a test for ``holds``."""

    @abstractmethod
    def is_one_of(self, operands: list[Any]) -> Condition:
        """Return a condition for runs whose value equals an operand. The operand None means: no value."""

    @abstractmethod
    def texts(self) -> Iterable[tuple[int, str | None]]:
        """Return the ids of runs with the texts that patterns are matched against."""

    def matches(self, pattern: str) -> Condition:
        """Return a condition for the runs with a text that an RE2 pattern matches somewhere."""
        check_text(pattern)
        found = self.scope.matched.get((self.key, pattern))
        if found is None:
            name = ("matched", self.scope.project_id, self.key, pattern)
            found = cached(
                self.scope.session, name, lambda: self._match(pattern), lambda ids: 40 * len(ids) + 200
            )
            self.scope.matched[self.key, pattern] = found
        return among(self.scope.run_id, found) if found else FALSE

    def _match(self, pattern: str) -> list[int]:
        # RE2 needs time in proportion to the text with any pattern. wandb uses RE2 too.
        import pyarrow as pa
        import pyarrow.compute as pc

        def read() -> tuple[list[int], pa.Array]:
            asked = list(self.texts())
            # Never empty, so that a wrong pattern is always found.
            return [run for run, _ in asked], pa.array([*(text for _, text in asked), None], pa.string())

        name = ("texts", self.scope.project_id, self.key)
        runs, texts = cached(
            self.scope.session, name, read, lambda found: 40 * len(found[0]) + found[1].nbytes
        )
        try:
            hits = pc.match_substring_regex(texts, pattern)
        except pa.ArrowInvalid as error:
            reason = str(error).removeprefix("Invalid regular expression: ")
            raise self.refuse(f"{shown(pattern)} is not a valid RE2 pattern: {reason}") from None
        return [runs[at] for at in pc.indices_nonzero(hits.fill_null(False)).to_pylist()]

    def refuse(self, why: str) -> UsageError:
        """Return an error about this field."""
        return UsageError(f"{self.key}: {why}")

    def refuse_operand(self, operand: Any, kinds: str) -> UsageError:
        """Return an error about a value of the wrong kind; ``kinds`` names the valid kinds."""
        return self.refuse(f"can be compared with {kinds}, not with {shown(operand)}")


class Field(FilterField):
    """A key of the config or the summary. A comparison is true only between values of the same kind."""

    def __init__(self, scope: FilterScope, key: str, name: str) -> None:
        super().__init__(scope, key)
        self.name = name

    def holds(self, test: Condition | None) -> Condition:
        """See ``FilterField.holds``; without a test, the condition is for all runs that have the key."""
        tests = [one_of("test.field", [self.name]), *([] if test is None else [test])]
        return self.has_row(tests)

    def exists(self) -> Condition:
        """See ``FilterField``."""
        return self.holds(None)

    def compared(self, operator: str, operand: Any) -> Condition:
        """See ``FilterField``."""
        sign = COMPARISONS[operator]
        number = f"{self.scope.alias}.number {sign} ?"
        if isinstance(operand, float) and math.isinf(operand):
            return Condition(number, (operand,))
        value = self._value(operand)
        if value == OTHER:  # an integer beyond the range of a double
            return Condition(number, (math.inf if operand > 0 else -math.inf,))
        if value.number is not None:
            return Condition(number, (value.number,))
        if not isinstance(operand, str):
            raise self.refuse("cannot compare with NaN: use $eq")
        return Condition(f"{self.scope.alias}.text {sign} ?", (value.text,))

    def is_one_of(self, operands: list[Any]) -> Condition:
        """See ``FilterField``."""
        found = [self.holds(test) for test in self._equal(operands)]
        return any_of([*found, *([negated(self.exists())] if None in operands else [])])

    def find_range(self, tests: dict[str, Any]) -> Condition | None:
        """Return the rows of ``run_fields`` of all matching runs, each once, as a range of an index.

        Args:
            tests: The operators of the test, with their operands.

        Returns:
            A condition on a row, or None if an index does not have the matching rows in one range.
        """
        found = [one_of(f"{self.scope.alias}.field", [self.name])]
        for operator, operand in tests.items():
            if operator in COMPARISONS:
                found.append(self.compared(operator, operand))
            elif operator == "$eq" and operand is not None:
                found.append(any_of(self._equal([operand])))
            else:
                return None
        return all_of(found)

    def texts(self) -> Iterable[tuple[int, str | None]]:
        """See ``FilterField``."""
        sql = "SELECT run_id, text FROM run_fields WHERE project_id = ? AND field = ? AND text IS NOT NULL"
        found = read_rows(self.scope.session, sql, (self.scope.project_id, self.name))
        return [(run, text and text[:LONGEST_TEXT]) for run, text in found]

    def _equal(self, operands: list[Any]) -> list[Condition]:
        values = [self._value(each) for each in operands if each is not None]
        numbers = [value.number for value in values if value.number is not None]
        texts = [value.text for value in values if value.text is not None]
        alias = self.scope.alias
        found = [one_of(f"{alias}.number", numbers)] if numbers else []
        return [*found, one_of(f"{alias}.text", texts)] if texts else found

    def has_row(self, tests: list[Condition]) -> Condition:
        """Return the condition that a run has a row in ``run_fields``, called ``test``, that passes tests."""
        scope = self.scope
        if scope.probe:
            passed = all_of([Condition(f"test.run_id = {scope.run_id}"), *tests])
            return Condition(
                f"EXISTS (SELECT 1 FROM run_fields AS test WHERE {passed.sql})", passed.parameters
            )
        passed = all_of([one_of("test.project_id", [scope.project_id]), *tests])
        listed = f"SELECT test.run_id FROM run_fields AS test WHERE {passed.sql}"
        return Condition(f"{scope.run_id} IN ({listed})", passed.parameters)

    def _value(self, operand: Any) -> Value:
        if isinstance(operand, str):
            check_text(operand)
        elif not isinstance(operand, (int, float)):
            raise self.refuse_operand(operand, "a number, a string, true or false")
        return value_of(operand)


class Tags(Field):
    """The tags of a run. A condition holds if it is true for any of the tags."""

    def compared(self, operator: str, operand: Any) -> Condition:
        """See ``FilterField``."""
        raise self.refuse(f"tags are not compared by {operator}: use $in, $nin, $all or $regex")

    def is_one_of(self, operands: list[Any]) -> Condition:
        """See ``FilterField``."""
        found = [self.has_row([one_of("test.field", fields)])] if (fields := self._fields(operands)) else []
        return any_of([*found, *([negated(self.exists())] if None in operands else [])])

    def find_range(self, tests: dict[str, Any]) -> Condition | None:
        """See ``Field.find_range``."""
        if list(tests) != ["$eq"] or tests["$eq"] is None:
            return None
        return one_of(f"{self.scope.alias}.field", self._fields([tests["$eq"]]))

    def _fields(self, operands: list[Any]) -> list[str]:
        fields = []
        for operand in operands:
            if isinstance(operand, str):
                check_text(operand)
                fields.append(f"tags.{operand}")
            elif operand is not None:
                raise self.refuse_operand(operand, "a string")
        return fields

    def texts(self) -> Iterable[tuple[int, str | None]]:
        """See ``FilterField``."""
        sql = "SELECT id, tags FROM runs WHERE project_id = ?"
        runs = read_rows(self.scope.session, sql, (self.scope.project_id,))
        return ((run, tag) for run, tags in runs for tag in values.loads(tags))


class Column(FilterField):
    """A column of the run itself."""

    def __init__(self, scope: FilterScope, key: str, column: InstrumentedAttribute[Any], kind: Kind) -> None:
        super().__init__(scope, key)
        stored = column.property.columns[0]
        self.kind = kind
        self._is_direct = scope.run_id == "runs.id"
        self._column = f"runs.{stored.name}" if self._is_direct else f"test.{stored.name}"
        self._nullable = bool(stored.nullable)
        self._stored = stored.name

    def holds(self, test: Condition) -> Condition:
        """See ``FilterField``."""
        scope = self.scope
        if self._is_direct:
            return all_of([self._has_value(), test]) if self._nullable else test
        if scope.probe:
            found = f"EXISTS (SELECT 1 FROM runs AS test WHERE test.id = {scope.run_id} AND {test.sql})"
            return Condition(found, test.parameters)
        listed = f"SELECT test.id FROM runs AS test WHERE test.project_id = ? AND {test.sql}"
        return Condition(f"{scope.run_id} IN ({listed})", (scope.project_id, *test.parameters))

    def exists(self) -> Condition:
        """See ``FilterField``."""
        return self.holds(self._has_value())

    def compared(self, operator: str, operand: Any) -> Condition:
        """See ``FilterField``."""
        if self.kind == "flag":
            raise self.refuse(f"is true or false, which {operator} does not compare: use $eq")
        return Condition(f"{self._column} {COMPARISONS[operator]} ?", (self._value(operand),))

    def is_one_of(self, operands: list[Any]) -> Condition:
        """See ``FilterField``."""
        wanted = [self._value(each) for each in operands if each is not None]
        found = self.holds(one_of(self._column, wanted)) if wanted else FALSE
        return any_of([found, negated(self.exists())]) if len(wanted) < len(operands) else found

    def texts(self) -> Iterable[tuple[int, str | None]]:
        """See ``FilterField``."""
        if self.kind != "text":
            raise self.refuse("cannot use $regex: the field is not a string")
        sql = f"SELECT id, {self._stored} FROM runs WHERE project_id = ?"
        return read_rows(self.scope.session, sql, (self.scope.project_id,))

    def _has_value(self) -> Condition:
        return Condition(f"{self._column} IS NOT NULL")

    def _value(self, operand: Any) -> Any:
        if self.kind == "flag":
            if not isinstance(operand, bool):
                raise self.refuse_operand(operand, "true or false")
            return operand
        is_number = isinstance(operand, (int, float)) and not isinstance(operand, bool)
        if is_number and self.kind != "text":
            number = value_of(operand).number
            if number is not None:
                return number
        if self.kind == "number":
            raise self.refuse_operand(operand, "a number")
        if not isinstance(operand, str):
            kinds = "a string" if self.kind == "text" else "unix seconds or a time in ISO 8601"
            raise self.refuse_operand(operand, kinds)
        check_text(operand)
        return self._seconds(operand) if self.kind == "time" else operand

    def _seconds(self, text: str) -> float:
        """Return unix seconds. A time without a zone is UTC."""
        try:
            # Python 3.10 cannot parse "Z".
            time = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text)
        except ValueError:
            raise self.refuse(
                f"{shown(text)} is not a time: use unix seconds or ISO 8601, such as 2026-01-31T12:00:00Z"
            ) from None
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def shown(value: Any) -> str:
    """Return a value as an error message shows it: its ``repr``, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_text(text: str) -> None:
    """Raise an error if a string is not valid Unicode, which a database needs.

    Raises:
        UsageError: The string contains a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid Unicode: it contains half a surrogate pair") from None
