"""The parameters of a sweep and their distributions. The names of distributions are wandb's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from tracker.errors import UsageError

# The required keys of each distribution.
_NEEDS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "inv_log_uniform": ("min", "max"),
    "inv_log_uniform_values": ("min", "max"),
    "normal": (),
    "log_normal": (),
    "beta": ("a", "b"),
}
_QUANTIZED = ("uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta")
_DEFAULTS: dict[str, float] = {"mu": 0.0, "sigma": 1.0, "q": 1}
_NUMBERS = ("min", "max", "mu", "sigma", "q", "a", "b")
# Distributions over several orders of magnitude: the distance of two values is that of their logarithms.
_LOGARITHMIC = (
    "log_uniform",
    "log_uniform_values",
    "inv_log_uniform",
    "inv_log_uniform_values",
    "log_normal",
)
# Limit of values of one parameter in a grid; more are a mistake of the user.
LARGEST_GRID = 1_000_000


class Parameter(NamedTuple):
    """One parameter of a sweep.

    Attributes:
        path: Its name, after the names of the parameters around it.
        kind: Its distribution, without the prefix ``q_``.
        given: The values of the distribution's keys.
        q: Values are rounded to multiples of this number; None: they are not rounded.
    """

    path: tuple[str, ...]
    kind: str
    given: dict[str, Any]
    q: float | None = None

    @property
    def name(self) -> str:
        """The names of ``path``, joined with dots."""
        return ".".join(self.path)


def read_parameters(given: Any, path: tuple[str, ...] = ()) -> list[Parameter]:
    """Return the parameters of a sweep's config.

    Raises:
        UsageError: A parameter is invalid.
    """
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"{_where(path)}parameters must be a dict with a parameter in it, not {given!r}")
    found = []
    for name, spec in given.items():
        if not isinstance(spec, Mapping):
            raise UsageError(
                f"Invalid parameter {'.'.join((*path, str(name)))!r}: {spec!r}. Use {{'value': ...}}, "
                "{'values': [...]} or {'distribution': ..., ...}."
            )
        if "parameters" in spec:
            found += read_parameters(spec["parameters"], (*path, str(name)))
        else:
            found.append(_read_parameter((*path, str(name)), dict(spec)))
    return found


def _where(path: tuple[str, ...]) -> str:
    return f"Invalid parameter {'.'.join(path)!r}: " if path else ""


def _read_parameter(path: tuple[str, ...], spec: dict[str, Any]) -> Parameter:
    name = ".".join(path)
    spec.update((key, _number(name, key, spec[key])) for key in _NUMBERS if key in spec)
    kind = str(spec.get("distribution") or _guess(name, spec))
    base = kind.removeprefix("q_")
    if base not in _NEEDS or (base != kind and base not in _QUANTIZED):
        known = ", ".join((*_NEEDS, *(f"q_{each}" for each in _QUANTIZED)))
        raise UsageError(f"Invalid distribution {kind!r} of parameter {name!r}. Use one of: {known}.")
    missing = [key for key in _NEEDS[base] if key not in spec]
    if missing:
        raise UsageError(f"parameter {name!r} with distribution {kind} needs {' and '.join(missing)}")
    q = {**_DEFAULTS, **spec}["q"] if base != kind else None
    if q is not None and q <= 0:
        raise UsageError(f"Invalid q={q} of parameter {name!r}: it must be above 0.")
    _check(name, base, spec)
    return Parameter(path, base, {**_DEFAULTS, **spec}, q)


def _guess(name: str, spec: dict[str, Any]) -> str:
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical"
    if "min" in spec and "max" in spec:
        kinds = {isinstance(spec[key], int) for key in ("min", "max")}
        if len(kinds) == 2:
            raise UsageError(
                f"Parameter {name!r} has min {spec['min']!r} and max {spec['max']!r}, an int and a float. "
                "Use two ints or two floats, or add a distribution."
            )
        return "int_uniform" if kinds == {True} else "uniform"
    raise UsageError(
        f"Parameter {name!r} needs value, values, min and max, or distribution. It has "
        f"{', '.join(map(str, spec)) or 'no keys'}."
    )


def _number(name: str, key: str, value: Any) -> float | int:
    """Return a number, also from a text: YAML reads 1e-5 as a text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"Invalid {key} {value!r} of parameter {name!r}: it must be a finite number.")
    return value


def _check(name: str, kind: str, spec: dict[str, Any]) -> None:
    values = spec.get("values")
    if kind.startswith("categorical"):
        if not isinstance(values, (list, tuple)) or not values:
            raise UsageError(f"values of parameter {name!r} must be a list with at least one value")
        weights = spec.get("probabilities")
        if weights is not None and (
            not isinstance(weights, (list, tuple))
            or len(weights) != len(values)
            or not all(isinstance(each, (int, float)) and each >= 0 for each in weights)
            or not math.isclose(sum(weights), 1, abs_tol=1e-3)
        ):
            raise UsageError(
                f"probabilities of parameter {name!r} must be one number for each value, with the sum 1"
            )
    if "min" in _NEEDS[kind]:
        if spec["min"] > spec["max"]:
            raise UsageError(f"Parameter {name!r}: min {spec['min']} is above max {spec['max']}. Swap them.")
        if kind.endswith("_values") and spec["min"] <= 0:
            raise UsageError(f"Parameter {name!r} ({kind}): min must be above 0, not {spec['min']}.")
        if kind == "int_uniform" and not all(float(spec[key]).is_integer() for key in ("min", "max")):
            raise UsageError(f"Parameter {name!r} (int_uniform): min and max must be ints.")
    if kind == "beta" and min(spec["a"], spec["b"]) <= 0:
        raise UsageError(f"Parameter {name!r} (beta): a and b must be above 0.")
    if kind in ("normal", "log_normal") and spec.get("sigma", 1) < 0:
        raise UsageError(f"Parameter {name!r} ({kind}): sigma must not be below 0.")


def draw(parameter: Parameter, random: Random) -> Any:
    """Return a random value from a parameter's distribution."""
    kind, given, q = parameter.kind, parameter.given, parameter.q
    if kind == "constant":
        return given["value"]
    if kind.startswith("categorical"):
        return random.choices(given["values"], given.get("probabilities"))[0]
    if kind == "int_uniform":
        return random.randint(int(given["min"]), int(given["max"]))
    value = _draw(kind, given, random)
    return value if q is None else _multiple(value, q)


def _draw(kind: str, given: dict[str, Any], random: Random) -> float:
    if kind == "uniform":
        return random.uniform(given["min"], given["max"])
    if kind == "normal":
        return random.gauss(given["mu"], given["sigma"])
    if kind == "log_normal":
        return math.exp(random.gauss(given["mu"], given["sigma"]))
    if kind == "beta":
        return random.betavariate(given["a"], given["b"])
    low, high = given["min"], given["max"]
    if kind == "log_uniform":  # min and max are exponents of e
        return math.exp(random.uniform(low, high))
    if kind == "inv_log_uniform":
        return math.exp(-random.uniform(low, high))
    value = math.exp(random.uniform(math.log(low), math.log(high)))
    return float(min(max(value, low), high))


def _multiple(value: float, q: float) -> float | int:
    times = round(value / q)
    return times * q if isinstance(q, int) else float(f"{times * q:.12g}")


def points(parameter: Parameter) -> list[Any]:
    """Return all values of a parameter, in order, for a grid.

    Raises:
        UsageError: The parameter has too many values, or infinitely many.
    """
    kind, given = parameter.kind, parameter.given
    if kind == "constant":
        return [given["value"]]
    if kind.startswith("categorical"):
        return list({repr(value): value for value in given["values"]}.values())
    if kind == "int_uniform" and given["max"] - given["min"] < LARGEST_GRID:
        return list(range(int(given["min"]), int(given["max"]) + 1))
    if kind == "uniform" and parameter.q is not None:
        first, last = (
            math.ceil(given["min"] / parameter.q - 1e-9),  # 1e-9 for rounding: 0.3 / 0.1 is less than 3
            math.floor(given["max"] / parameter.q + 1e-9),
        )
        if last - first < LARGEST_GRID:
            return [_multiple(times * parameter.q, parameter.q) for times in range(first, last + 1)]
    raise UsageError(
        f"Parameter {parameter.name!r} has too many values for a grid. Use 'values', or the method random."
    )


def measure(parameter: Parameter, value: Any) -> list[float]:
    """Return a value as coordinates, in which close values have a small distance."""
    if parameter.kind == "constant":
        return []
    if parameter.kind.startswith("categorical"):
        return [float(value == each) for each in parameter.given["values"]]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [0.0]
    return [math.log(value) if parameter.kind in _LOGARITHMIC and value > 0 else float(value)]


def nested(parameters: list[Parameter], values: Iterator[Any] | list[Any]) -> dict[str, Any]:
    """Return a dict of values by the names of their parameters, with nested dicts for nested parameters."""
    found: dict[str, Any] = {}
    for parameter, value in zip(parameters, values, strict=True):
        place = found
        for name in parameter.path[:-1]:
            place = place.setdefault(name, {})
        place[parameter.path[-1]] = value
    return found


def pick(parameters: list[Parameter], config: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of parameters in a config; None if the config does not contain one of them."""
    found = []
    for parameter in parameters:
        place: Any = config
        for name in parameter.path:
            if not isinstance(place, Mapping) or name not in place:
                return None
            place = place[name]
        found.append(place)
    return found
