"""From records to rows: the pure part of applying a segment. Knows no database and no files.

A ``SegmentState`` holds what must be remembered from one batch of records to the next: open rows,
the latest synchronised steps, the summary and its aggregates. It is stored with the applied offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from types import NoneType
from typing import Any, NamedTuple

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
# Ways in which a script's rows may differ in their keys before we stop remembering them.
LARGEST_SHAPES = 1000
# The newest alerts of a segment are shown.
MOST_ALERTS = 1000


class FinishedRow(NamedTuple):
    """A whole history row: everything logged into ``row``."""

    row: int
    step: int
    time: float
    runtime: float
    data: dict[str, Any]


class OpenRow(msgspec.Struct):
    """A row that may still get more keys."""

    row: int
    step: int
    time: float
    data: dict[str, Any]


class KeyFacts(msgspec.Struct, array_like=True):
    """What is known of one history key: its kind, how often it was logged, where last.

    ``mixed_numbers`` says that some of its values are numbers although its kind is another.
    """

    kind: str
    count: Integer
    last_step: Integer
    mixed_numbers: bool = False

    @property
    def numbers(self) -> bool:
        """Whether some of its values are numbers."""
        return self.mixed_numbers or self.kind == "number"

    def note_kind(self, kind: str, mixed_numbers: bool = False) -> None:
        """Take note of values of a kind."""
        if kind not in (self.kind, "null"):
            had, self.kind = self.kind, kind if self.kind == "null" else "other"
            self.mixed_numbers |= self.kind == "other" and "number" in (had, kind)
        self.mixed_numbers |= mixed_numbers


class Change(msgspec.Struct, array_like=True):
    """A field of the run that its script gave another value, and when."""

    time: float
    value: Any


class Gone(msgspec.Struct, frozen=True):
    """Why a writer that did not say that it ended is taken for dead, and when it was last heard of.

    Attributes:
        reason: ``"process gone"``, ``"host restarted"`` or ``"host silent"``.
        last_seen: Unix seconds.
    """

    reason: str
    last_seen: Time


class SegmentState(msgspec.Struct):
    """Everything that applying a segment remembers."""

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
    # When its writer was last heard of, while it is taken for dead for that reason alone (unix seconds).
    silent_since: float | None = None
    # What became of the drafts that its records name: artifacts' digests, by token. Known once it is sealed.
    drafts: dict[str, str] = {}
    gone: Gone | None = None
    # Summary keys, with dots down into dicts, that keep nothing of what earlier attempts gave them. True: the
    # script itself set or removed the value. False: it was logged since. See `is_replaced`.
    replaced: dict[str, bool] = {}
    # A later attempt logged the rows at this step and beyond again: they are in no aggregate.
    hidden_from: Integer | None = None
    # Aggregates computed from the rows: see `tracker.runstate.missing_aggregates`. `aggregates` covers only
    # the segment's own definitions and all of its rows, so its summary does not depend on other segments.
    filled: dict[str, Aggregate] = {}

    def check(self) -> None:
        """Check what comes from outside.

        Raises:
            ValueError: An extreme is not a number.
        """
        for aggregate in (*self.aggregates.values(), *self.filled.values()):
            aggregate.check()

    @property
    def counted(self) -> dict[str, Aggregate]:
        """The aggregates over the rows that show."""
        return self.filled if self.hidden_from is not None else {**self.aggregates, **self.filled}

    @property
    def start_step(self) -> int:
        """Where the segment begins: where its writer was to begin, or went back to with its first row."""
        start = self.started.start_step if self.started is not None else 0
        if self.first_step is None:
            return start
        is_of_child = self.started is not None and is_child(self.started.rank)
        return self.first_step if is_of_child else min(start, self.first_step)

    @property
    def reached(self) -> int | None:
        """The largest step of its rows, that of the open one among them."""
        if self.open is None or (self.last_step is not None and self.open.step <= self.last_step):
            return self.last_step
        return self.open.step


_decode = msgspec.msgpack.Decoder(SegmentState, ext_hook=read_extension).decode


def pack_state(state: SegmentState) -> bytes:
    """Return the state as it is kept in the catalog."""
    try:
        return encode(state)
    except OverflowError:  # integers beyond 64 bits among the values
        return encode(packable(msgspec.to_builtins(state)))


def unpack_state(data: bytes) -> SegmentState:
    """Return the state that ``pack_state`` was given."""
    return _decode(data)


class _Shape:
    """What is to be done with each row that has the same keys: worked out for the first of them."""

    __slots__ = ("facts", "noted", "summarised", "synchronised", "types")

    def __init__(self, noted: list[str], synchronised: list[str], summarised: bool) -> None:
        self.noted = noted  # step metrics in the row, to be remembered
        self.synchronised = synchronised  # step metrics that the row is to be given
        self.summarised = summarised  # whether the summary of some key is more than its last value
        self.types: tuple[type, ...] = ()  # of the last row's values
        self.facts: list[KeyFacts] = []


class SegmentFold:
    """Folds records of one segment, in order, into its state; hands out the rows that get whole."""

    def __init__(self, state: SegmentState) -> None:
        self._state = state
        self._rules = Rules(state.metrics)
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        # Rows of one shape come one after the other: their keys are counted when another comes.
        self._counted: _Shape | None = None
        self._count = 0
        self._last_step = 0
        self._hidden = False  # the row that is being folded does not show

    @property
    def state(self) -> SegmentState:
        """What was folded so far."""
        self._settle()
        return self._state

    def fold(self, record: Record) -> list[FinishedRow]:
        """Take one record; return the rows that are whole now."""
        state = self._state
        if type(record) is Row:
            return self._fold_row(record)
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
                state.replaced.update(dict.fromkeys(logged, True))  # the summary does not name them any more
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
            if len(state.problems) < MOST_PROBLEMS:  # a hostile journal may hold millions
                state.problems.append(f"a {record.kind} record was refused: {record.reason}")
        elif type(record) is SegmentRestored:
            self._restore(record)
        elif type(record) is SystemSample:
            state.samples += 1
            state.system.update(record.values)
        elif type(record) is ConsoleLines:
            state.console_lines = max(state.console_lines, *(line[0] + 1 for line in record.lines), 0)
        return []

    def flush(self) -> list[FinishedRow]:
        """Close the open row: nothing more will come for it."""
        left, self._state.open = self._state.open, None
        return [self._finish(left)] if left is not None and left.data else []

    def _restore(self, record: SegmentRestored) -> None:
        """Take over what a sealed segment added up to: its rows alone give less than its records did."""
        state = self.state
        try:
            restored = msgspec.convert(record.state, SegmentState)
            restored.check()
        except ValueError as error:  # msgspec's ValidationError is one
            self.fold(InvalidRecord(SegmentRestored.__name__, str(error)))
            return
        restored.started, restored.finished = state.started, state.finished
        restored.open, restored.changes = None, state.changes
        restored.problems = [*dict.fromkeys([*restored.problems, *state.problems])][:MOST_PROBLEMS]
        for name in SegmentState.__struct_fields__:
            setattr(state, name, getattr(restored, name))
        self._rules = Rules(state.metrics)
        self._shapes.clear()

    def _fold_row(self, record: Row) -> list[FinishedRow]:
        state = self._state
        self._note_time(record.time)
        if state.first_step is None and not record.flags & ASIDE:
            state.first_step = record.step
        if record.flags & ASIDE:
            if not record.data:
                return []  # as elsewhere: nothing was said
            return [self._finish(OpenRow(record.row, record.step, record.time, record.data))]
        done = []
        opened = state.open
        if opened is not None and opened.row != record.row:
            done = self.flush()
            opened = None
        if opened is None:
            opened = OpenRow(record.row, record.step, record.time, record.data)
        else:
            opened.data = merge_dicts(opened.data, record.data)
            opened.time = record.time
        state.open = opened
        if not record.flags & COMMIT:
            return done
        state.open = None
        return [*done, self._finish(opened)]  # without keys too: as in wandb, log({}) ends a row

    def _note_time(self, time: float) -> None:
        state = self._state
        state.last_time = max(state.last_time, time)
        if state.started is not None:
            state.runtime = state.started.runtime_base + max(0.0, state.last_time - state.started.time)

    def _finish(self, row: OpenRow) -> FinishedRow:
        state = self._state
        data = row.data
        shape = self._shape(data)
        if state.metrics:
            for step in shape.noted:
                state.steps[step] = data[step]
            added = {step: state.steps[step] for step in shape.synchronised if step in state.steps}
            if added:
                data = data | added
                shape = self._shape(data)
        state.rows += 1
        if state.last_step is None or row.step > state.last_step:
            state.last_step = row.step
        if shape is not self._counted:
            self._settle()
            self._counted = shape
        types = tuple(map(type, data.values()))
        if types != shape.types or dict in types or list in types:  # of one type, but maybe of other kinds
            self._note_kinds(shape, data, row.step)
            shape.types = types
        self._count += 1
        self._last_step = row.step
        if (
            shape.summarised
            or dict in types
            or NoneType in types
            or not state.replaced.keys().isdisjoint(data)
        ):
            self._hidden = state.hidden_from is not None and row.step >= state.hidden_from
            for key, value in data.items():
                self._summarise(state.summary, key, key, value)
        else:
            state.summary.update(data)
        started = state.started
        runtime = row.time - started.time + started.runtime_base if started else 0.0
        # wandb lets a script give its own time stamp
        time = data.get("_timestamp", row.time)
        return FinishedRow(row.row, row.step, float(time) if is_finite(time) else row.time, runtime, data)

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
            if len(self._shapes) > LARGEST_SHAPES:  # a script whose rows never look alike
                self._shapes.clear()
        return shape

    def _note_kinds(self, shape: _Shape, data: dict[str, Any], step: int) -> None:
        keys = self._state.keys
        for key, value in data.items():
            facts = keys.get(key)
            if facts is None:
                keys[key] = KeyFacts(kind_of(value), 0, step)
            elif value is not None:
                facts.note_kind(kind_of(value))
        if len(shape.facts) != len(data):
            shape.facts = [keys[key] for key in data]

    def _settle(self) -> None:
        """Count the keys of the rows that came since the last time."""
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
        """Bring the summary of a key up to date: ``name`` in ``place``, and so on down into dicts."""
        if type(value) is dict and "_type" not in value:
            below = place.get(name)
            # A new dict: a change inside one that came from a row would change that too.
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
            place.pop(name, None)  # as in wandb: nothing is known of it now
            state.replaced[key] = False


def prefixes(key: str) -> Iterator[str]:
    """Yield a dotted key and the keys of all dicts that may lead to it, the outermost first."""
    return accumulate(key.split("."), "{}.{}".format)


def leaves(state: SegmentState, key: str, value: Any) -> Iterator[str]:
    """Yield the keys that a summary value stands for: those of a dict, else the key itself."""
    # Of a key that has an aggregate, the summary holds a dict of its results.
    if key not in state.aggregates and isinstance(value, dict) and "_type" not in value:
        for name, item in value.items():
            yield from leaves(state, f"{key}.{name}", item)
    else:
        yield key


def mark_replaced(marks: dict[str, bool], key: str) -> None:
    """Note that a script set or removed a summary key, with all that was below it."""
    below = [each for each in marks if each.startswith(f"{key}.")]
    for each in (key, *below):  # in this order, which readers of the marks follow
        marks.pop(each, None)
        marks[each] = True


def is_replaced(marks: Mapping[str, bool], key: str) -> bool:
    """Return whether what a script itself made of a summary key holds: the nearest mark says so."""
    return [False, *(marks[each] for each in prefixes(key) if each in marks)][-1]


# Kinds by `_type`. Whatever else ends in "-file" is media.
_KINDS = {
    "graph-file": "other",
    "histogram": "histogram",
    **dict.fromkeys(("image-file", "images/separated"), "image"),
    **dict.fromkeys(("table-file", "eval-table", "incremental-table-file"), "table"),
    **dict.fromkeys(("audio", "videos", "html", "object3D", "molecule"), "media"),  # several under one key
}


def kind_of(value: Any) -> str:
    """Return what a history value is: number, text, image, media, table, histogram, null or other."""
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
    """Return two calls' values of one row: nested dicts of the script's own are merged, as in wandb."""
    merged = old | new
    for key, value in new.items():
        if type(value) is dict and "_type" not in value and type(before := old.get(key)) is dict:
            merged[key] = value if "_type" in before else merge_dicts(before, value)
    return merged


def _gap(record: RowsLost) -> str:
    if record.count:
        return f"{record.count} records were lost at {record.time:.0f}: {record.reason}"
    return f"writing failed for a while until {record.time:.0f}: {record.reason}; all records were kept"


def _change(target: dict[str, Any], values: dict[str, Any], removed: list[str]) -> None:
    for key in removed:
        target.pop(key, None)
    target.update(values)
