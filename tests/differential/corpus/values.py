"""Logged values: unchanged and converted ones."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib

import numpy as np
import pandas as pd
import torch
import wandb

from differential.script import Seen, differs, script


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


def _log_each(values: dict[str, object], seen: Seen) -> None:
    """Log each value in a separate row, and note the errors of values that cannot be logged."""
    run = wandb.init(project="demo")
    for key, value in values.items():
        try:
            run.log({key: value})
        except Exception as error:
            seen(key, type(error).__name__)
    run.finish()


@script
def plain_ones(seen: Seen) -> None:
    values = {
        "none": None,
        "true": True,
        "false": False,
        "int": 3,
        "float": 0.1,
        "text": "héllo ✓",
        "empty": "",
    }
    _log_each(
        {**values, "small": 1e-300, "negative": -0.0, "list": [1, "a", None], "dict": {"a": {"b": [1]}}}, seen
    )


@script
def not_finite(seen: Seen) -> None:
    nan, inf = float("nan"), float("inf")
    _log_each({"nan": nan, "inf": inf, "-inf": -inf, "in a list": [nan, 1.0], "in a dict": {"x": inf}}, seen)


@script
def large_integers(seen: Seen) -> None:
    _log_each({"2^53+1": 2**53 + 1, "2^60": 2**60, "-2^63": -(2**63)}, seen)


@script
def numpy_scalars(seen: Seen) -> None:
    values = {"f16": np.float16(0.5), "f32": np.float32(0.1), "f64": np.float64(0.1), "i8": np.int8(-3)}
    values |= {"u64": np.uint64(2**63), "bool": np.bool_(True), "nan": np.float32("nan"), "0d": np.array(4)}
    _log_each({**values, "str": np.str_("text")}, seen)


@script
def numpy_arrays(seen: Seen) -> None:
    values = {"three": np.array([1, 2, 3]), "2d": np.arange(6.0).reshape(2, 3), "32": np.arange(32)}
    values |= {"bool": np.array([True, False]), "empty": np.array([]), "text": np.array(["a", "b"])}
    _log_each({**values, "3d": np.arange(8).reshape(2, 2, 2), "one": np.array([5.0])}, seen)


@script
def large_arrays(seen: Seen) -> None:
    values = {"33": np.arange(33), "100": np.linspace(0, 1, 100), "2d": np.arange(64.0).reshape(8, 8)}
    _log_each({**values, "constant": np.ones(40), "tensor": torch.arange(50.0)}, seen)


@script
def tensors(seen: Seen) -> None:
    values = {
        "0d": torch.tensor(0.5),
        "int": torch.tensor(3),
        "bool": torch.tensor(True),
        "1d": torch.arange(3),
    }
    values |= {
        "grad": torch.ones(1, requires_grad=True).sum(),
        "2d": torch.ones(2, 2),
        "half": torch.tensor(0.5).half(),
    }
    _log_each({**values, "bf16": torch.tensor(0.5, dtype=torch.bfloat16)}, seen)


@script
def sets_and_tuples(seen: Seen) -> None:
    _log_each(
        {
            "tuple": (1, 2),
            "set": {7},
            "frozenset": frozenset([8]),
            "range": range(3),
            "nested": [(1, 2), {3}],
        },
        seen,
    )


_PATHS = {
    "wandb": "raises TypeError for a path",
    "tracker": "logs its text",
    "because": "a path becomes a string, as a date does",
}


@differs(
    "runs/0/history",
    [
        {"_step": 0, "bytes": "abc"},
        {"_step": 1, "path": "/a/b"},
        {"_step": 2, "date": "2024-01-02"},
        {"_step": 3, "time": "2024-01-02T03:04:05"},
        {"_step": 4, "utc": "2024-01-02T00:00:00Z"},
        {"_step": 5, "delta": "PT3S"},
    ],
    **_PATHS,
)
@differs("runs/0/summary/_step", 5, **_PATHS)
@differs("runs/0/summary/path", "/a/b", **_PATHS)
@differs("seen/path", "<absent>", **_PATHS)
@script
def bytes_dates_and_paths(seen: Seen) -> None:
    values = {"bytes": b"abc", "path": pathlib.PurePosixPath("/a/b"), "date": datetime.date(2024, 1, 2)}
    values |= {
        "time": datetime.datetime(2024, 1, 2, 3, 4, 5),
        "utc": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    }
    _log_each({**values, "delta": datetime.timedelta(seconds=3)}, seen)


@script
def enums_decimals_and_fractions(seen: Seen) -> None:
    values = {"enum": Colour.RED, "int enum": Level.HIGH, "decimal": decimal.Decimal("0.5")}
    _log_each(
        {**values, "fraction": fractions.Fraction(1, 2), "complex": 1 + 2j, "class": int, "function": len},
        seen,
    )


@script
def of_pandas(seen: Seen) -> None:
    values = {"series": pd.Series([1, 2, 3]), "timestamp": pd.Timestamp("2024-01-02"), "na": pd.NA}
    _log_each({**values, "frame": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})}, seen)


@script
def odd_keys(seen: Seen) -> None:
    values = {
        "a.b": 1,
        "c/d": 2,
        "with space": 3,
        "": 4,
        "ü✓": 5,
        "x" * 300: 6,
        "a b/c.d-e_f": 7,
        "_private": 8,
    }
    _log_each(values, seen)


@script
def names_wandb_uses_itself(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"_step": 17, "a": 1})
    run.log({"_custom": 1, "a": 2})
    run.finish()


@script
def nested_dicts(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"n": {"x": 1, "y": {"z": 2}}})
    run.log({"n": {"x": 3}})
    run.log({"n": {"w": 4, "empty": {}}})
    run.log({"n": 5})
    run.log({"deep": {"1": "text key", "list": [{"a": 1}, {"b": [1, 2]}]}})
    run.finish()


@script
def lists_of_many(seen: Seen) -> None:
    _log_each({"100 ints": list(range(100)), "mixed": [1, "two", None, [3.5]], "of dicts": [{"a": 1}]}, seen)
