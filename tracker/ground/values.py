"""Conversion of logged values to plain values, and of plain values to JSON without loss.

Plain values are None, bool, int (of any size), float (also NaN and infinity), str, list, and dict with string
keys. Values of heavy libraries are recognised by their attributes: this module never imports the libraries.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.ground.histogram import count_values

if TYPE_CHECKING:
    from datetime import timedelta

# As in wandb, an array with at most this number of elements becomes a list, a larger one a histogram.
LONGEST_LIST = 32

# Limit of nesting. Readers in Python and JavaScript use recursion and cannot read much deeper values.
DEEPEST = 100
# By default, Python refuses to convert integers of more than 4,300 decimal digits to text.
LARGEST_INTEGER = 10**4000

# Names of the numbers that JSON does not have.
NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_MARK, _MARK_BYTES = '"_type"', b'"_type"'

# Values of these types need no conversion.
PLAIN = frozenset((float, int, str, bool, type(None)))


def to_plain(value: Any, convert: Callable[[Any], Any] | None = None, depth: int = 0) -> Any:
    """Return ``value`` as a plain value.

    Args:
        value: A scalar of numpy or torch, array, container, date, path, bytes or plain value.
        convert: Called with a value of any other type; returns a plain value or raises TypeError.
        depth: Number of containers around the value.

    Raises:
        TypeError: The value has no plain form, or is nested too deeply.
    """
    kind = type(value)
    if kind in PLAIN:
        return value if kind is not int else plain_integer(value)
    check_depth(depth)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, convert, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, convert, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return [to_plain(item, convert, depth + 1) for item in sorted(value, key=repr)]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            # A subclass such as an enum may override str() or int(): use the value of the base class.
            return plain.__str__(value) if plain is str else plain(value)
    if not isinstance(value, type):
        if hasattr(value, "__array__") or hasattr(value, "detach"):
            return _array_to_plain(value)
        if hasattr(value, "isoformat"):
            text = value.isoformat()
            return f"{text[:-6]}Z" if text.endswith("+00:00") else text
        if hasattr(value, "__fspath__"):
            return value.__fspath__()
        if isinstance(value, enum.Enum):
            return to_plain(value.value, convert, depth + 1)
        if hasattr(value, "__dataclass_fields__"):
            fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
            return to_plain(fields, convert, depth)
        if hasattr(value, "__next__"):
            return [to_plain(item, convert, depth + 1) for item in value]
        if kind.__module__ in ("decimal", "fractions") or kind is complex:
            return str(value).strip("()")
        if kind.__module__ == "datetime" and hasattr(value, "total_seconds"):
            return duration_text(value)
    if hasattr(value, "__qualname__") and hasattr(value, "__module__"):  # a class or a function
        return f"{value.__module__}.{value.__qualname__}"
    if convert is not None:
        return convert(value)
    raise TypeError(f"Object of type {kind.__name__} is not JSON serializable")


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested dicts, with their keys joined by dots. A media object is one value."""
    for key, value in values.items():
        if isinstance(value, dict) and value and "_type" not in value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_depth(depth: int) -> None:
    """Raise TypeError if a value is inside more than ``DEEPEST`` containers: it may contain itself."""
    if depth > DEEPEST:
        raise TypeError(f"a value contains itself, or is nested more than {DEEPEST} levels deep")


def plain_integer(value: int) -> int | str:
    """Return an integer, or its hexadecimal text if it has more digits than Python converts to decimal."""
    return value if -LARGEST_INTEGER < value < LARGEST_INTEGER else hex(value)


def without_surrogates(text: str) -> str:
    r"""Return a text that UTF-8 can encode: escapes such as ``\ud800`` replace lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def duration_text(duration: timedelta) -> str:
    """Return a duration as ISO 8601 text: ``P1DT1H1M40S`` (corpus: ``values.bytes_dates_and_paths``)."""
    sign = "-" if duration.days < 0 else ""
    duration = abs(duration)
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    years, days = divmod(duration.days, 365)
    part = f".{duration.microseconds:06}".rstrip("0") if duration.microseconds else ""
    date = "".join(f"{count}{unit}" for count, unit in ((years, "Y"), (days, "D")) if count)
    clock = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    if seconds or part or not (date or clock):
        clock += f"{seconds}{part}S"
    return f"{sign}P{date}" + (f"T{clock}" if clock else "")


def _array_to_plain(value: Any) -> Any:
    if type(value).__module__.startswith("pandas"):  # also an error in wandb; `log` makes a DataFrame a table
        raise TypeError(
            f"Object of type {type(value).__name__} is not JSON serializable: log value.to_numpy()"
        )
    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu()
        if not value.dtype.is_floating_point and not value.dtype.is_complex:
            pass
        elif str(value.dtype) in ("torch.bfloat16", "torch.float16"):
            value = value.float()
    shape = tuple(getattr(value, "shape", ()))
    size = math.prod(shape)
    if size == 1 and len(shape) <= 1:
        item = value.item()
        return _from_long(item) if hasattr(item, "__array__") else to_plain(item)
    if size <= LONGEST_LIST:
        return to_plain(value.tolist())
    counts, edges = count_values(value, LONGEST_LIST)
    return {"_type": "histogram", "values": counts, "bins": edges}


def _from_long(value: Any) -> float | str:
    """Return a number of a numpy type that Python lacks: a float, or a text if a float would be infinite."""
    if value.dtype.kind == "c":
        return str(value).strip("()")
    number = float(value)
    return str(value) if math.isinf(number) and value - value == 0 else number


def dumps(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return standard JSON for a plain value, without loss.

    JSON does not have NaN and infinity: they become ``{"_type": "number", "value": "NaN"}``. If a dict of
    the user looks like this, its value is put into a list: ``{"_type": "number", "value": ["NaN"]}``.
    Integers of any size are written with all digits.

    Args:
        value: A plain value.
        indent: Spaces per level; None for one line without spaces.
        sort_keys: Sort the keys of each dict.
    """
    marked = _mark(value)
    if indent is None and not sort_keys:
        import msgspec

        with suppress(TypeError, ValueError, OverflowError):  # json takes large integers and lone surrogates
            return msgspec.json.encode(marked).decode()
    return json.dumps(
        marked,
        indent=indent,
        sort_keys=sort_keys,
        allow_nan=False,
        ensure_ascii=False,
        separators=None if indent else (",", ":"),
    )


def loads(text: str | bytes) -> Any:
    """Return the plain value from JSON that ``dumps`` wrote."""
    if (_MARK if isinstance(text, str) else _MARK_BYTES) not in text:  # type: ignore[operator]
        import msgspec  # six times as fast as json; json reads the rest, such as a bare NaN

        with suppress(msgspec.DecodeError, UnicodeError):
            return msgspec.json.decode(text)  # noqa: TID251 - without a type
    return json.loads(text, object_hook=_unmark)


def _mark(value: Any) -> Any:
    if type(value) is float:
        if math.isfinite(value):
            return value
        name = "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
        return {"_type": "number", "value": name}
    if type(value) is dict:
        if "_type" in value and _is_marked(value, 0):
            return {**value, "value": [value["value"]]}
        return {key: _mark(item) for key, item in value.items()}
    if type(value) is list:
        return [_mark(item) for item in value]
    return value


def _unmark(item: dict[str, Any]) -> Any:
    # Change only dicts that ``_mark`` writes: a dict of the user may look similar.
    if _is_marked(item, 1):
        return {**item, "value": item["value"][0]}
    return NONFINITE[item["value"]] if _is_marked(item, 0) else item


def _is_marked(item: dict[str, Any], lists: int) -> bool:
    """Return whether a dict looks like a marked number whose name is inside ``lists`` lists or more."""
    if len(item) != 2 or item.get("_type") != "number":
        return False
    name = item.get("value")
    while type(name) is list and len(name) == 1:
        name, lists = name[0], lists - 1
    return isinstance(name, str) and name in NONFINITE and lists <= 0
