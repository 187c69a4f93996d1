"""The stream of a run: rows, summary, system metrics, printed lines, the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any

import msgspec

from server.wandb import client_config
from server.wandb.context import Context
from server.wandb.run_start import summary_changes
from server.wandb.segments import OpenSegment, newest_step, writer
from server.wandb.stops import is_stopped
from server.wandb.texts import LARGEST, read_integer, read_json, read_seconds, read_time
from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import RunPath
from tracker.ground.records import (
    ASIDE,
    COMMIT,
    ConsoleLines,
    Record,
    Row,
    RunChanged,
    RunFinished,
    RunStarted,
    SystemSample,
)
from tracker.ground.values import without_surrogates
from tracker.recorder.follow import WRITER_STATES

# Keys that tracker computes.
_DERIVED = ("_step", "_runtime", "_timestamp", "_wandb")
# Start times that differ by fewer seconds are the same: one is computed from rounded numbers.
_SAME_START = 0.001
# Lines of output in one record.
_MOST_LINES = 500


def receive(context: Context, place: RunPath, body: bytes) -> dict[str, Any]:
    """Record a post of a client's stream, without the lines that were received before.

    Args:
        context: The request.
        place: The run.
        body: The post: a JSON object.

    Raises:
        NotFoundError: There is no such run: the client gives up.
        UsageError: The post is not valid.
        JournalError: The disk refused the records: the client sends the post again.
    """
    context.require("writer", place)
    post = _read(body)
    files = post.get("files") or {}
    code = read_integer(post.get("exitcode"), "The exit code")
    with context.segments.starting(place):
        segment = _segment(context, place)
    if segment is not None:
        with segment.lock:
            _record(context, segment, files, post)
        if post.get("complete"):
            _end(context, segment, code)
    return {"stopped": is_stopped(context, place)}


def _read(body: bytes) -> dict[str, Any]:
    post = read_json(body)
    if not isinstance(post, dict) or not isinstance(post.get("files") or {}, dict):
        raise UsageError("The body is not an object with files.")
    return post


def _segment(context: Context, place: RunPath) -> OpenSegment | None:
    """Return the segment of a client; None if its run has ended: it sends the last post again."""
    with context.segments.using(place, context.client) as segment:
        if segment is not None and segment.is_usable:
            return segment
        finished = segment is not None and segment.received.finished
    known = context.find(place)
    if known is None:
        raise NotFoundError(f"there is no run {'/'.join(place)}: it was deleted")
    if finished:
        return None
    if known.state in WRITER_STATES and not context.client:
        return None
    # The client was silent for so long that its segment was sealed. Or it is another client of a shared run.
    last = newest_step(known)
    started = RunStarted(
        *place,
        time.time(),
        writer(known.host or "", context.client),
        start_step=0 if last is None else last + 1,
        config={} if context.client else known.config,
        runtime_base=0.0 if context.client else known.duration,
    )
    return context.segments.begin(place, started, context.client)


def _record(context: Context, segment: OpenSegment, files: dict[str, Any], post: dict[str, Any]) -> None:
    history, events = _content(files, "wandb-history.jsonl"), _content(files, "wandb-events.jsonl")
    records: list[Record] = _started_again(segment, history[1][:1] + events[1][:1])
    records += _rows(segment, *history)
    records += _samples(segment, *events)
    records += _output(context, segment, *_content(files, "output.log"))
    if post.get("preempting"):
        records.append(RunChanged(time.time(), {"preempting": {"reason": None, "job_end": None}}))
    _, lines = _content(files, "wandb-summary.json")
    sent = read_json(lines[-1]) if lines else None
    expected, segment.received.summary = _expected_summary(segment, records), None
    segment.append(records)
    if isinstance(sent, dict):
        own = {key: value for key, value in sent.items() if key not in _DERIVED}
        # Most summaries follow from the rows. Reading the run takes longer than recording its rows.
        if context.client or expected is None or summary_changes(expected, own):
            known = context.reader.run(*segment.place).summary
            segment.append(summary_changes(known, own, shared=bool(context.client)))
        expected = own
    segment.received.summary = expected


def _expected_summary(segment: OpenSegment, records: list[Record]) -> dict[str, Any] | None:
    """Return the summary of the run after records; None if it does not follow simply from what was sent."""
    received = segment.received
    if received.summary is None or any(metric.summary for metric in received.metrics.values()):
        return None
    found = dict(received.summary)
    for record in records:
        if isinstance(record, Row):
            for key, value in record.data.items():
                if record.flags & ASIDE or "." in key or value is None or isinstance(value, dict):
                    return None
            found.update(record.data)
    return found


def _started_again(segment: OpenSegment, lines: list[str]) -> list[Record]:
    """Return the first record again if the first lines show that the client started at another time.

    The run may have been logged offline long ago, or the clock of the client may differ from that of the
    server. The times of rows are those of the client. Its ``_runtime`` of a row is from when the row was
    complete, at the next step, and ``_timestamp`` from the call of ``log``: their difference may be long
    before the start, and the start is not before the one that the client's config names.
    """
    received = segment.received
    started = received.started
    if started is None or received.lines is not None or received.sampled_at:
        return []
    sent = [
        (read_seconds(line.get("_timestamp")), read_seconds(line.get("_runtime")))
        for line in map(read_json, lines)
    ]
    times = [
        (when, runtime)
        for when, runtime in sent
        if when is not None and runtime is not None and when >= runtime
    ]
    time_ = min((when - runtime for when, runtime in times), default=started.time) + started.runtime_base
    named = client_config.started_at(received.internal)
    if named is not None and named <= min((when for when, _ in times), default=time_):
        time_ = max(time_, named)
    if abs(time_ - started.time) < _SAME_START:
        return []
    config = received.config | ({"_wandb": received.internal} if received.internal else {})
    return [msgspec.structs.replace(started, time=time_, config=config)]


def _content(files: dict[str, Any], name: str) -> tuple[int, list[str]]:
    part = files.get(name)
    if not isinstance(part, dict):
        return 0, []
    lines = part.get("content") or []
    if isinstance(lines, str):
        lines = [lines]
    return read_integer(part.get("offset"), f"The offset of {name}", 0), lines


def _rows(segment: OpenSegment, offset: int, lines: list[str]) -> Iterator[Row]:
    received = segment.received
    last = received.last_step
    for number, line in enumerate(lines, offset):
        if received.lines is not None and number < received.lines:
            continue
        row = read_json(line)
        if not isinstance(row, dict):
            raise UsageError(f"History line {number} is not an object.")
        step = row.pop("_step", None)
        when = read_seconds(row.pop("_timestamp", None))
        row.pop("_runtime", None)
        row.pop("_wandb", None)
        if type(step) is not int or abs(step) > LARGEST:
            step = 0 if last is None else last + 1
        flags = COMMIT
        if last is None or step > last:
            last = step
        else:
            flags |= ASIDE
        yield Row(number, step, flags, received.last_time if when is None else when, row)


def _samples(segment: OpenSegment, _offset: int, lines: list[str]) -> Iterator[SystemSample]:
    last = segment.received.sampled_at
    for line in lines:
        sample = read_json(line)
        when = read_seconds(sample.get("_timestamp")) if isinstance(sample, dict) else None
        if when is None or when <= last:
            continue
        last = when
        values = {}
        for key, value in sample.items():
            if isinstance(value, int | float) and not key.startswith("_"):
                with suppress(OverflowError):  # an integer larger than any float
                    values[key.removeprefix("system.").partition("/l:")[0]] = float(value)
        if values:
            yield SystemSample(when, values)


def _output(context: Context, segment: OpenSegment, offset: int, lines: list[str]) -> Iterator[ConsoleLines]:
    # A client that resumes counts on from the lines of earlier attempts.
    base = _lines_before(context, segment) if lines and offset else 0
    begin = offset - base if offset >= base else offset
    parsed = [_line(number, text) for number, text in enumerate(lines, begin)]
    for when, group in groupby(parsed, key=lambda each: each[0]):
        found = [each[1] for each in group]
        for start in range(0, len(found), _MOST_LINES):
            yield ConsoleLines(when, found[start : start + _MOST_LINES])


def _lines_before(context: Context, segment: OpenSegment) -> int:
    before = segment.received.lines_before
    if before is None or context.client:
        detail = context.find(segment.place)
        others = () if detail is None else (each for each in detail.segments if each.id != segment.name)
        before = segment.received.lines_before = sum(each.console_lines for each in others)
    return before


def _line(number: int, text: str) -> tuple[float, tuple[int, int, str]]:
    """Return the time (whole unix seconds), the number, the stream and the text of a line."""
    stream = 1
    if text.startswith("{"):
        try:
            found = read_json(text)
        except UsageError:
            found = {}
        if isinstance(found, dict) and "content" in found:
            stream = 2 if found.get("level") == "error" else 1
            return _second(found.get("ts")), (
                number,
                stream,
                without_surrogates(str(found["content"])),
            )
    if text.startswith("ERROR "):
        stream, text = 2, text[len("ERROR ") :]
    first, _, rest = text.partition(" ")
    if read_time(first) is not None:
        text = rest
    return _second(first), (number, stream, without_surrogates(text.rstrip("\n")))


def _second(when: Any) -> float:
    return float(int(read_seconds(read_time(when)) or time.time()))


def _end(context: Context, segment: OpenSegment, code: int) -> None:
    """Record the end of a run: in shared mode, of the client and of the run."""
    when = segment.received.last_time or time.time()
    if code == 0:
        end = RunFinished(when, "finished")
    else:
        state = "preempted" if segment.received.preempting else "failed"
        end = RunFinished(when, state, code, reason=f"exit status {code}")
    for client in {"", context.client}:
        with context.segments.using(segment.place, client) as ending:
            if ending is not None and ending.is_usable:
                ending.append([end])
                ending.close()
