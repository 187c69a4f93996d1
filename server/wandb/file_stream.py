"""The stream of a run: rows, summary, system metrics, printed lines, the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from server.wandb.context import Context
from server.wandb.run_start import summary_changes
from server.wandb.segments import OpenSegment
from server.wandb.texts import read_time
from tracker.errors import NotFoundError, UsageError
from tracker.ground.names import RunPath
from tracker.ground.read_models import RunDetail
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
from tracker.recorder.follow import WRITER_STATES

_decode = msgspec.json.Decoder().decode
# Keys that tracker computes.
_DERIVED = ("_step", "_runtime", "_timestamp", "_wandb")
# Lines of output in one record.
_MOST_LINES = 500


def receive(context: Context, place: RunPath, body: bytes) -> dict[str, Any]:
    """Record a post of a client's stream. What was received before is left out.

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
    with context.segments.using(place, context.client) as found:
        segment = found
        if segment is not None and segment.received.finished:
            return {"stopped": False}  # the post that ended the run, again
        if segment is None or not segment.is_usable:
            known = context.find(place)
            if known is None:
                raise NotFoundError(f"there is no run {'/'.join(place)}: it was deleted")
            if known.state in WRITER_STATES:
                return {"stopped": False}
            segment = _continue(context, place, known, files)
        with segment.lock:
            _record(context, segment, files, post)
    return {"stopped": False}


def _read(body: bytes) -> dict[str, Any]:
    try:
        post = _loads(body)
    except ValueError as error:
        raise UsageError(f"The body is not JSON: {error}") from error
    if not isinstance(post, dict) or not isinstance(post.get("files") or {}, dict):
        raise UsageError("The body is not an object with files.")
    return post


def _loads(text: bytes | str) -> Any:
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return json.loads(text)  # NaN and infinities


def _continue(context: Context, place: RunPath, known: RunDetail, files: dict[str, Any]) -> OpenSegment:
    """Begin a new attempt for a client that was silent for so long that its segment was sealed."""
    started = RunStarted(
        *place,
        time.time(),
        context.segments.process(known.host or "", context.client),
        start_step=0 if known.last_step is None else known.last_step + 1,
        config=known.config,
        runtime_base=known.duration,
    )
    return context.segments.begin(place, started, context.client)


def _record(context: Context, segment: OpenSegment, files: dict[str, Any], post: dict[str, Any]) -> None:
    records: list[Record] = []
    rows = list(_rows(segment, *_content(files, "wandb-history.jsonl")))
    records += rows
    records += _samples(segment, *_content(files, "wandb-events.jsonl"))
    records += _output(context, segment, *_content(files, "output.log"))
    if post.get("preempting"):
        records.append(RunChanged(time.time(), {"preempting": {"reason": None, "job_end": None}}))
    segment.append(records)
    _, lines = _content(files, "wandb-summary.json")
    if lines:
        sent = _loads(lines[-1])
        if isinstance(sent, dict):
            own = {key: value for key, value in sent.items() if key not in _DERIVED}
            segment.append(summary_changes(context.reader.run(*segment.place).summary, own))
    if post.get("complete"):
        segment.append([_end(segment, post)])
        segment.finish()


def _content(files: dict[str, Any], name: str) -> tuple[int, list[str]]:
    part = files.get(name)
    if not isinstance(part, dict):
        return 0, []
    lines = part.get("content") or []
    if isinstance(lines, str):
        lines = [lines]
    return int(part.get("offset") or 0), lines


def _rows(segment: OpenSegment, offset: int, lines: list[str]) -> Iterator[Row]:
    received = segment.received
    last = received.last_step
    for number, line in enumerate(lines, offset):
        if received.lines is not None and number < received.lines:
            continue
        row = _loads(line)
        if not isinstance(row, dict):
            raise UsageError(f"History line {number} is not an object.")
        step = row.pop("_step", None)
        when = row.pop("_timestamp", None)
        row.pop("_runtime", None)
        row.pop("_wandb", None)
        if type(step) is not int:
            step = 0 if last is None else last + 1
        flags = COMMIT
        if last is None or step > last:
            last = step
        else:
            flags |= ASIDE
        yield Row(number, step, flags, when if isinstance(when, int | float) else received.last_time, row)


def _samples(segment: OpenSegment, _offset: int, lines: list[str]) -> Iterator[SystemSample]:
    last = segment.received.sampled_at
    for line in lines:
        sample = _loads(line)
        when = sample.get("_timestamp") if isinstance(sample, dict) else None
        if not isinstance(when, int | float) or when <= last:
            continue
        last = when
        values = {
            key.removeprefix("system.").partition("/l:")[0]: float(value)
            for key, value in sample.items()
            if isinstance(value, int | float) and not key.startswith("_")
        }
        if values:
            yield SystemSample(float(when), values)


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
    detail = context.find(segment.place)
    if detail is None:
        return 0
    return sum(each.console_lines for each in detail.segments if each.id != segment.name)


def _line(number: int, text: str) -> tuple[float, tuple[int, int, str]]:
    """Return the time (whole unix seconds), the number, the stream and the text of a line."""
    stream, when = 1, None
    if text.startswith("{"):
        try:
            found = _loads(text)
        except ValueError:
            found = {}
        if isinstance(found, dict) and "content" in found:
            stream = 2 if found.get("level") == "error" else 1
            return float(int(read_time(found.get("ts")) or time.time())), (
                number,
                stream,
                str(found["content"]),
            )
    if text.startswith("ERROR "):
        stream, text = 2, text[len("ERROR ") :]
    first, _, rest = text.partition(" ")
    when = read_time(first)
    if when is not None:
        text = rest
    return float(int(when or time.time())), (number, stream, text.rstrip("\n"))


def _end(segment: OpenSegment, post: dict[str, Any]) -> RunFinished:
    code = int(post.get("exitcode") or 0)
    when = max(segment.received.last_time, 0.0) or time.time()
    if code == 0:
        return RunFinished(when, "finished")
    preempted = bool(post.get("preempting"))
    return RunFinished(when, "preempted" if preempted else "failed", code, reason=f"exit status {code}")
