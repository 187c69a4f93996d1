"""Computation of rows and of a segment's state from its records. This module uses no database and no files.

A ``SegmentState`` contains the data that the next batch of records needs: the open row, the latest values of
step metrics, the summary and its aggregates. The catalog stores the state and how far the journal is applied.

``(corpus: FILE.FUNCTION)`` names a script in ``tests/differential/corpus`` that shows wandb's behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, groupby
from types import NoneType
from typing import Any, NamedTuple, cast

import msgspec

from tracker.ground.parsed_types import Integer, Seconds, Time
from tracker.ground.records import (
    ASIDE,
    COMMIT,
    AlertRaised,
    ConfigChanged,
    ConsoleLines,
    InvalidRecord,
    MetricDefined,
    Record,
    Row,
    RowsLost,
    RunChanged,
    RunFinished,
    RunStarted,
    SegmentRestored,
    SummaryChanged,
    SystemSample,
    encode,
    is_child,
    packable,
    read_extension,
)
from tracker.runstate.aggregates import Aggregate, Rules, is_finite, merge_definitions

MOST_PROBLEMS = 1000
# Limit of the cache of shapes. A shape is the set of keys of a row.
LARGEST_SHAPES = 1000
# A segment keeps this number of its newest alerts.
MOST_ALERTS = 1000
# Rows with only these types of values are folded together: a later value replaces an earlier one.
_SCALARS = {float, int, str, bool}


class FinishedRow(NamedTuple):
    """A complete history row: all data that was logged to row number ``row``."""

    row: int
    step: int
    time: float
    runtime: float
    data: dict[str, Any]


# Makes a row from a tuple of its fields, without a call of Python code.
_make_row = cast("Callable[[Iterable[Any]], FinishedRow]", partial(tuple.__new__, FinishedRow))


class OpenRow(msgspec.Struct):
    """A row that later calls of ``log`` can add keys to."""

    row: int
    step: int
    time: float
    data: dict[str, Any]


class KeyFacts(msgspec.Struct, array_like=True):
    """Facts of a history key: the kind and the count of its values, and the step of the last one.

    ``mixed_numbers`` is true if some values are numbers, but ``kind`` is not ``"number"``.
    """

    kind: str
    count: Integer
    last_step: Integer
    mixed_numbers: bool = False

    @property
    def numbers(self) -> bool:
        """Whether at least one value is a number."""
        return self.mixed_numbers or self.kind == "number"

    def add_kind(self, kind: str, mixed_numbers: bool = False) -> None:
        """Update the kind with the kind of further values."""
        if kind not in (self.kind, "null"):
            before, self.kind = self.kind, kind if self.kind == "null" else "other"
            self.mixed_numbers |= self.kind == "other" and "number" in (before, kind)
        self.mixed_numbers |= mixed_numbers


class Change(msgspec.Struct, array_like=True):
    """A new value that a script set in a field of its run, and the time (unix seconds)."""

    time: float
    value: Any


class Gone(msgspec.Struct, frozen=True):
    """Why a writer counts as dead although it did not record its end.

    Attributes:
        reason: ``"process gone"``, ``"host restarted"`` or ``"host silent"``.
        last_seen: Time of the writer's last sign of life in unix seconds.
    """

    reason: str
    last_seen: Time


class SegmentState(msgspec.Struct):
    """The state of a segment after the records that were applied so far."""

    started: RunStarted | None = None
    finished: RunFinished | None = None
    open: OpenRow | None = None
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    metrics: dict[str, MetricDefined] = {}
    steps: dict[str, Any] = {}
    aggregates: dict[str, Aggregate] = {}
    keys: dict[str, KeyFacts] = {}
    rows: Integer = 0
    first_step: Integer | None = None
    last_step: Integer | None = None
    last_time: Time = 0.0
    runtime: Seconds = 0.0
    problems: list[str] = []
    # The latest sample of each system metric, how many samples there were, and how many lines of output.
    system: dict[str, float] = {}
    samples: Integer = 0
    console_lines: Integer = 0
    alerts: list[AlertRaised] = []
    changes: dict[str, Change] = {}
    # Time of the writer's last sign of life (unix seconds), if silence is the only sign that it is dead.
    silent_since: float | None = None
    # Digests of artifacts by the tokens of their drafts. Set when the segment is sealed.
    drafts: dict[str, str] = {}
    gone: Gone | None = None
    # Summary keys (dotted, for keys inside dicts) whose values from earlier attempts do not count any more.
    # True: the script set or removed the value itself. False: `log` changed the key last. See `is_replaced`.
    replaced: dict[str, bool] = {}
    # A later attempt logged the rows from this step on again: `filled` does not contain them.
    hidden_from: Integer | None = None
    # Aggregates that were computed from the rows: see `tracker.runstate.missing_aggregates`. In contrast,
    # `aggregates` uses the segment's own definitions and all its rows, so that the segment's summary does
    # not depend on other segments.
    filled: dict[str, Aggregate] = {}

    def check(self) -> None:
        """Check a state from an untrusted source.

        Raises:
            ValueError: The minimum or the maximum of an aggregate is not a finite number.
        """
        for aggregate in (*self.aggregates.values(), *self.filled.values()):
            aggregate.check()

    @property
    def counted(self) -> dict[str, Aggregate]:
        """The aggregates of the visible rows."""
        return self.filled if self.hidden_from is not None else {**self.aggregates, **self.filled}

    @property
    def start_step(self) -> int:
        """First step of the segment.

        The smaller one of ``started.start_step`` and the step of the first row; for a child, the step of the
        first row. Without a row: ``started.start_step``.
        """
        start = self.started.start_step if self.started is not None else 0
        if self.first_step is None:
            return start
        is_of_child = self.started is not None and is_child(self.started.rank)
        return self.first_step if is_of_child else min(start, self.first_step)

    @property
    def reached(self) -> int | None:
        """The largest step of the rows, including the open row."""
        if self.open is None or (self.last_step is not None and self.open.step <= self.last_step):
            return self.last_step
        return self.open.step


_decode = msgspec.msgpack.Decoder(SegmentState, ext_hook=read_extension).decode


def pack_state(state: SegmentState) -> bytes:
    """Return the state as bytes, for the catalog."""
    try:
        return encode(state)
    except OverflowError:  # a value is an integer of more than 64 bits
        return encode(packable(msgspec.to_builtins(state)))


def unpack_state(data: bytes) -> SegmentState:
    """Return the state from the bytes of ``pack_state``."""
    return _decode(data)


class _Shape:
    """Data for folding rows with the same keys. It is computed for the first of these rows and cached."""

    __slots__ = ("facts", "noted", "summarised", "synchronised", "types")

    def __init__(self, noted: list[str], synchronised: list[str], summarised: bool) -> None:
        self.noted = noted  # step metrics in the row, whose values are kept for later rows
        self.synchronised = synchronised  # step metrics that are added to the row
        self.summarised = summarised  # whether a key has an aggregate in the summary
        self.types: tuple[type, ...] = ()  # types of the last row's values
        self.facts: list[KeyFacts] = []


class SegmentFold:
    """Applies the records of one segment, in order, to its state; returns the rows that they complete."""

    def __init__(self, state: SegmentState) -> None:
        self._state = state
        self._rules = Rules(state.metrics)
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        # Rows of one shape often follow each other. Their keys are counted when a row of another shape comes.
        self._counted: _Shape | None = None
        self._count = 0
        self._last_step = 0
        self._hidden = False  # whether a later attempt hides the current row

    @property
    def state(self) -> SegmentState:
        """The state after the records so far."""
        self._settle()
        return self._state

    def fold(self, record: Record) -> list[FinishedRow]:
        """Apply one record; return the rows that it completes."""
        state = self._state
        if type(record) is Row:
            return self.fold_rows((record,))
        if type(record) is RunStarted:
            state.started = record
            state.config = dict(record.config)
            state.last_time = record.time
        elif type(record) is ConfigChanged:
            _change(state.config, record.values, record.removed)
        elif type(record) is SummaryChanged:
            for key in (*record.removed, *record.values):
                logged = list(leaves(state, key, state.summary.get(key)))
                mark_replaced(state.replaced, key)
                state.replaced.update(dict.fromkeys(logged, True))  # the summary no longer contains them
            _change(state.summary, record.values, record.removed)
        elif type(record) is MetricDefined:
            self._settle()
            state.metrics[record.name] = merge_definitions(state.metrics.get(record.name), record)
            self._rules = Rules(state.metrics)
            self._shapes.clear()
        elif type(record) is RunFinished:
            state.finished = record
            self._note_time(record.time)
            return self.flush()
        elif type(record) is AlertRaised:
            state.alerts.append(record)
            del state.alerts[:-MOST_ALERTS]
        elif type(record) is RunChanged:
            for field, value in record.values.items():
                state.changes[field] = Change(record.time, value)
        elif type(record) is RowsLost:
            state.problems.append(_gap(record))
        elif type(record) is InvalidRecord:
            if len(state.problems) < MOST_PROBLEMS:  # a hostile journal may contain millions
                state.problems.append(f"an invalid {record.kind} record was ignored: {record.reason}")
        elif type(record) is SegmentRestored:
            self._restore(record)
        elif type(record) is SystemSample:
            state.samples += 1
            state.system.update(record.values)
        elif type(record) is ConsoleLines:
            state.console_lines = max(state.console_lines, *(line[0] + 1 for line in record.lines), 0)
        return []

    def fold_rows(self, records: Sequence[Row]) -> list[FinishedRow]:
        """Apply rows in the given order; return the rows that they complete.

        Rows with the same keys and types are folded together. Most rows of a run are such rows, and folding
        each one alone would take half of the time of applying a journal.
        """
        if not records:
            return []
        complete = self._join(records)
        self._note_time(max([record.time for record in records]))
        return [row for _, same in groupby(complete, _signature) for row in self._finish([*same])]

    def flush(self) -> list[FinishedRow]:
        """Complete the open row, because no later record adds data to it; return the row if it has data."""
        left, self._state.open = self._state.open, None
        return self._finish([left]) if left is not None and left.data else []

    def _restore(self, record: SegmentRestored) -> None:
        """Replace the state with that of a sealed segment: its rows do not contain the whole state."""
        state = self.state
        try:
            restored = msgspec.convert(record.state, SegmentState)
            restored.check()
        except ValueError as error:  # msgspec's ValidationError is a ValueError
            self.fold(InvalidRecord(SegmentRestored.__name__, str(error)))
            return
        restored.started, restored.finished = state.started, state.finished
        restored.open, restored.changes = None, state.changes
        restored.problems = [*dict.fromkeys([*restored.problems, *state.problems])][:MOST_PROBLEMS]
        for name in SegmentState.__struct_fields__:
            setattr(state, name, getattr(restored, name))
        self._rules = Rules(state.metrics)
        self._shapes.clear()

    def _join(self, records: Iterable[Row]) -> list[OpenRow | Row]:
        """Add the data of records to the open row; return the rows that are complete."""
        state = self._state
        complete: list[OpenRow | Row] = []
        opened: OpenRow | Row | None = state.open
        for record in records:
            if record.flags & ASIDE:
                if record.data:  # a separate row (ASIDE) without keys is ignored
                    complete.append(record)
                continue
            if state.first_step is None:
                state.first_step = record.step
            if opened is None:
                opened = record
            elif opened.row == record.row:
                merged = merge_dicts(opened.data, record.data)
                opened = OpenRow(opened.row, opened.step, record.time, merged)
            else:
                if opened.data:
                    complete.append(opened)
                opened = record
            if record.flags & COMMIT:
                # A committed row without keys counts, as in wandb (corpus: ``steps.empty_rows``).
                complete.append(opened)
                opened = None
        if isinstance(opened, Row):
            opened = OpenRow(opened.row, opened.step, opened.time, opened.data)
        state.open = opened
        return complete

    def _note_time(self, time: float) -> None:
        state = self._state
        state.last_time = max(state.last_time, time)
        if state.started is not None:
            state.runtime = state.started.runtime_base + max(0.0, state.last_time - state.started.time)

    def _finish(self, rows: Sequence[OpenRow | Row]) -> list[FinishedRow]:
        """Return complete rows, and count them. All have the same keys and types."""
        state, last = self._state, rows[-1]
        data = last.data
        shape = self._shape(data)
        types = tuple(map(type, data.values()))
        if len(rows) > 1 and (shape.synchronised or not _SCALARS.issuperset(types)):
            return [done for row in rows for done in self._finish([row])]
        if state.metrics:
            for step in shape.noted:
                state.steps[step] = data[step]
            added = {step: state.steps[step] for step in shape.synchronised if step in state.steps}
            if added:
                data = data | added
                shape = self._shape(data)
                types = tuple(map(type, data.values()))
        state.rows += len(rows)
        steps = [row.step for row in rows]
        largest = max(steps)
        if state.last_step is None or largest > state.last_step:
            state.last_step = largest
        if shape is not self._counted:
            self._settle()
            self._counted = shape
        if types != shape.types or dict in types or list in types:  # dicts and lists can be of several kinds
            self._note_kinds(shape, data, last.step)
            shape.types = types
        self._count += len(rows)
        self._last_step = last.step
        every = [data] if len(rows) == 1 else [row.data for row in rows]
        if (
            shape.summarised
            or dict in types
            or NoneType in types
            or not state.replaced.keys().isdisjoint(data)
        ):
            for row, values in zip(rows, every, strict=True):
                self._hidden = state.hidden_from is not None and row.step >= state.hidden_from
                for key, value in values.items():
                    self._summarise(state.summary, key, key, value)
        else:
            state.summary.update(data)
        started = state.started
        begin, base = (started.time, started.runtime_base) if started else (0.0, 0.0)
        times = [row.time for row in rows]
        runtimes = [time - begin + base if started else 0.0 for time in times]
        numbers = [row.row for row in rows]
        done = list(map(_make_row, zip(numbers, steps, times, runtimes, every, strict=True)))
        if "_timestamp" in data:  # a script may log its own time stamp, as in wandb
            return [
                row._replace(time=float(time)) if is_finite(time := row.data["_timestamp"]) else row
                for row in done
            ]
        return done

    def _shape(self, data: dict[str, Any]) -> _Shape:
        keys = tuple(data)
        shape = self._shapes.get(keys)
        if shape is None:
            steps = self._step_names()
            rules = [rule for key in keys if (rule := self._rules.find(key)) is not None]
            wanted = dict.fromkeys(rule.step_metric for rule in rules if rule.step_metric and rule.step_sync)
            shape = self._shapes[keys] = _Shape(
                [step for step in keys if step in steps],
                [step for step in wanted if step not in data],
                any(rule.summary for rule in rules)
                or not (self._state.aggregates.keys() | self._state.filled.keys()).isdisjoint(keys),
            )
            if len(self._shapes) > LARGEST_SHAPES:  # for example, each row has different keys
                self._shapes.clear()
        return shape

    def _note_kinds(self, shape: _Shape, data: dict[str, Any], step: int) -> None:
        keys = self._state.keys
        for key, value in data.items():
            facts = keys.get(key)
            if facts is None:
                keys[key] = KeyFacts(kind_of(value), 0, step)
            elif value is not None:
                facts.add_kind(kind_of(value))
        if len(shape.facts) != len(data):
            shape.facts = [keys[key] for key in data]

    def _settle(self) -> None:
        """Count the keys of the rows since the last call."""
        if self._counted is not None:
            for facts in self._counted.facts:
                facts.count += self._count
                facts.last_step = self._last_step
        self._counted, self._count = None, 0

    def _step_names(self) -> set[str]:
        return {
            definition.step_metric for definition in self._state.metrics.values() if definition.step_metric
        }

    def _summarise(self, place: dict[str, Any], name: str, key: str, value: Any) -> None:
        """Update a key of the summary, and recursively the keys of a dict.

        Args:
            place: The dict that contains the key: the summary, or a dict in it.
            name: The key's name in ``place``.
            key: The whole key, dotted.
            value: The logged value.
        """
        if type(value) is dict and "_type" not in value:
            below = place.get(name)
            # A copy, because the dict may be part of a row, which must not change.
            place[name] = inner = dict(below) if isinstance(below, dict) and "_type" not in below else {}
            for each, item in value.items():
                self._summarise(inner, each, f"{key}.{each}", item)
            return
        state = self._state
        if state.replaced and is_replaced(state.replaced, key):
            state.replaced[key] = False
        filled = state.filled.get(key)
        if filled is not None and not self._hidden:
            filled.add(value)
        definition = self._rules.find(key)
        words = definition.summary if definition is not None else []
        if "none" in words:
            place.pop(name, None)
            return
        aggregate = state.aggregates.get(key)
        if aggregate is None and words:
            logged = state.keys.get(key) or state.keys.get(key.partition(".")[0])
            aggregate = state.aggregates[key] = Aggregate(partial=logged is not None and logged.count > 0)
        if aggregate is not None:
            aggregate.add(value)
        if definition is not None and aggregate is not None and words not in ([], ["copy"]):
            place[name] = aggregate.results(definition, value)
        elif value is not None:
            place[name] = value
        else:
            place.pop(name, None)  # None removes the key from the summary, as in wandb
            state.replaced[key] = False


def _signature(row: OpenRow | Row) -> tuple[tuple[str, ...], tuple[type, ...]]:
    return tuple(row.data), tuple(map(type, row.data.values()))


def prefixes(key: str) -> Iterator[str]:
    """Yield the keys of all dicts that can contain a dotted key, the outermost first, then the key itself."""
    return accumulate(key.split("."), "{}.{}".format)


def leaves(state: SegmentState, key: str, value: Any) -> Iterator[str]:
    """Yield the logged keys of a summary value: recursively those of a dict, else the key itself.

    Args:
        state: State of the segment.
        key: The dotted key of the value.
        value: The value in the summary.
    """
    # If a key has an aggregate, the dict in the summary contains the aggregate's results.
    if key not in state.aggregates and isinstance(value, dict) and "_type" not in value:
        for name, item in value.items():
            yield from leaves(state, f"{key}.{name}", item)
    else:
        yield key


def mark_replaced(marks: dict[str, bool], key: str) -> None:
    """Mark a summary key and all keys in its dict as set or removed by the script."""
    below = [each for each in marks if each.startswith(f"{key}.")]
    for each in (key, *below):  # the order matters: readers apply the marks in this order
        marks.pop(each, None)
        marks[each] = True


def is_replaced(marks: Mapping[str, bool], key: str) -> bool:
    """Return whether the script set or removed a summary key itself, after the last row with this key.

    Args:
        marks: ``SegmentState.replaced``. If it contains the key and dicts around the key, the innermost one
            decides.
        key: The dotted key.
    """
    return [False, *(marks[each] for each in prefixes(key) if each in marks)][-1]


# Kinds by `_type`. Other types that end with "-file" are media.
_KINDS = {
    "graph-file": "other",
    "histogram": "histogram",
    **dict.fromkeys(("image-file", "images/separated"), "image"),
    **dict.fromkeys(("table-file", "eval-table", "incremental-table-file"), "table"),
    **dict.fromkeys(("audio", "videos", "html", "object3D", "molecule"), "media"),  # several under one key
}


def kind_of(value: Any) -> str:
    """Return the kind of a history value: number, text, image, media, table, histogram, null or other."""
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    if value is None:
        return "null"
    if isinstance(value, dict):
        kind = value.get("_type")
        if not isinstance(kind, str):
            return "other"
        return _KINDS.get(kind) or ("media" if kind.endswith("-file") else "other")
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        found = {kind_of(item) for item in value}  # media of several types under one key
        return "media" if found <= {"image", "media"} else "other"
    return "other"


def merge_dicts(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the merged values of two calls for one row.

    Nested dicts are merged, as in wandb (corpus: ``steps.same_key_twice``). A dict with ``_type``, such as an
    image, is replaced.
    """
    merged = old | new
    for key, value in new.items():
        if type(value) is dict and "_type" not in value and type(before := old.get(key)) is dict:
            merged[key] = value if "_type" in before else merge_dicts(before, value)
    return merged


def _gap(record: RowsLost) -> str:
    if record.count:
        return f"{record.count} records were lost at {record.time:.0f}: {record.reason}"
    return f"writing failed until Unix time {record.time:.0f}: {record.reason}; no record was lost"


def _change(target: dict[str, Any], values: dict[str, Any], removed: list[str]) -> None:
    for key in removed:
        target.pop(key, None)
    target.update(values)
