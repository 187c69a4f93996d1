"""The types of table columns: what a column has held says what it may hold.

The names, and the JSON that they become, are those of wandb, where they stand in every table of an
artifact under ``column_types``.
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar


class Type:
    """A type; the plain ones take exactly themselves."""

    name: ClassVar[str] = ""

    def __init__(self, **params: Any) -> None:
        self.params: dict[str, Any] = params

    def assign(self, obj: Any) -> Type | None:
        """Return the type that this one becomes when ``obj`` is put there; None: it does not fit."""
        return self.assign_type(type_of(obj))

    def assign_type(self, other: Type) -> Type | None:
        """Return the type that takes what this and ``other`` take, where that is allowed; else None."""
        return self if type(other) is type(self) and other.params == self.params else None

    def to_json(self, artifact: Any = None) -> dict[str, Any]:
        """Return wandb's JSON for it."""
        params = _params_to_json(self.params, artifact)
        return {"wb_type": self.name, "params": params} if params else {"wb_type": self.name}

    @classmethod
    def from_params(cls, params: dict[str, Any], artifact: Any) -> Type:
        """Make it from the ``params`` of its JSON."""
        return cls(**{key: _params_from_json(value, artifact) for key, value in params.items()})

    def explain(self, obj: Any) -> str:
        """Say why ``obj`` does not fit."""
        return f"{obj!r} of type {type_of(obj)} is not assignable to {self}"

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}:{value}" for key, value in self.params.items())
        return self.name.capitalize() + (f"({inner})" if inner else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.name == other.name and self.params == other.params

    __hash__ = None  # type: ignore[assignment]


class InvalidType(Type):
    """Takes nothing; what a list of values that do not go together is a list of."""

    name = "invalid"

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        return None


class AnyType(Type):
    """Takes everything but None."""

    name = "any"

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        return None if isinstance(other, (NoneType, InvalidType)) else self


class UnknownType(Type):
    """Becomes the type of the first thing that is not None."""

    name = "unknown"

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        return None if isinstance(other, NoneType) else other


class NoneType(Type):
    """None, and NaN."""

    name = "none"


class StringType(Type):
    """Text."""

    name = "string"


class NumberType(Type):
    """Numbers of Python and numpy."""

    name = "number"


class TimestampType(Type):
    """Dates and times."""

    name = "timestamp"


class BooleanType(Type):
    """True and False."""

    name = "boolean"


class PythonObjectType(Type):
    """Anything else, by the name of its class."""

    name = "pythonObject"

    def __init__(self, class_name: str) -> None:
        super().__init__(class_name=class_name)


class ConstType(Type):
    """One value."""

    name = "const"

    def __init__(self, val: Any = None, is_set: bool = False) -> None:
        is_set = is_set or isinstance(val, set)
        super().__init__(val=set(val) if is_set else val, is_set=is_set)

    def assign(self, obj: Any) -> Type | None:
        """See ``Type``."""
        return self.assign_type(ConstType(obj))

    def __repr__(self) -> str:
        return str(self.params["val"])


class UnionType(Type):
    """One of several types."""

    name = "union"

    def __init__(self, allowed_types: Sequence[Any] = ()) -> None:
        flat: list[Type] = []
        for each in map(as_type, allowed_types):
            flat.extend(each.params["allowed_types"] if isinstance(each, UnionType) else [each])
        super().__init__(allowed_types=sorted(flat, key=str))

    def assign(self, obj: Any) -> Type | None:
        """See ``Type``."""
        return self._with(lambda allowed: allowed.assign(obj))

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        union: Type | None = self
        for each in other.params["allowed_types"] if isinstance(other, UnionType) else [other]:
            assert isinstance(union, UnionType)
            union = union._with(lambda allowed, each=each: allowed.assign_type(each))  # type: ignore[misc]
            if union is None:
                return None
        return union

    def _with(self, assign: Callable[[Type], Type | None]) -> UnionType | None:
        allowed = list(self.params["allowed_types"])
        # What is known goes before what is not.
        for at in sorted(range(len(allowed)), key=lambda at: isinstance(allowed[at], UnknownType)):
            taken = assign(allowed[at])
            if taken is not None:
                if taken is allowed[at]:
                    return self
                return UnionType([*allowed[:at], taken, *allowed[at + 1 :]])
        return None

    def __repr__(self) -> str:
        return " or ".join(str(each) for each in self.params["allowed_types"])


class ListType(Type):
    """A list of things of one type. With NaN among them that is an optional one: wandb reads NaN as None."""

    name = "list"

    def __init__(self, element_type: Any = None, length: int | None = None) -> None:
        super().__init__(
            element_type=UnknownType() if element_type is None else as_type(element_type), length=length
        )

    @classmethod
    def of(cls, obj: Any) -> ListType:
        """Return the type of a list."""
        items = list(obj)
        missing = any(item is None or is_nan(item) for item in items)
        element: Type = optional(UnknownType()) if missing else UnknownType()
        for item in items:
            element = element.assign(item) or InvalidType()
        return cls(element, len(items))

    def assign(self, obj: Any) -> Type | None:
        """See ``Type``."""
        if not hasattr(obj, "__iter__"):
            return None
        items = list(obj)
        element: Type | None = self.params["element_type"]
        for item in items:
            if is_nan(item) and element is not None:
                element = optional(element)
            element = element.assign(item) if element is not None else None
        return None if element is None else ListType(element, len(items))

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        if not isinstance(other, ListType):
            return None
        element = self.params["element_type"].assign_type(other.params["element_type"])
        length = self.params["length"] if self.params["length"] == other.params["length"] else None
        return None if element is None else ListType(element, length)

    def __repr__(self) -> str:
        return f"{self.params['element_type']}[]"


class NDArrayType(Type):
    """Arrays of one shape. In an artifact a column of them is a file of its own."""

    name = "ndarray"

    def __init__(self, shape: Sequence[int] = (), serialization_path: dict[str, str] | None = None) -> None:
        super().__init__(shape=list(shape))
        self.serialization_path = serialization_path

    def assign(self, obj: Any) -> Type | None:
        """See ``Type``."""
        if isinstance(obj, list):
            shape: list[int] = []
            inner: Any = obj
            while isinstance(inner, list):
                shape.append(len(inner))
                inner = inner[0] if inner else None
            return self if shape == self.params["shape"] else None
        return self.assign_type(type_of(obj)) if hasattr(obj, "__array__") else None

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        return self if isinstance(other, ListType) else super().assign_type(other)

    def to_json(self, artifact: Any = None) -> dict[str, Any]:
        """See ``Type``."""
        params = {"shape": self.params["shape"], "serialization_path": self.serialization_path}
        return {"wb_type": self.name, "params": params}


class TypedDictType(Type):
    """A dict with a type for each key."""

    name = "typedDict"

    def __init__(self, type_map: dict[Any, Any] | None = None) -> None:
        super().__init__(type_map={key: as_type(each) for key, each in (type_map or {}).items()})

    def assign(self, obj: Any) -> Type | None:
        """See ``Type``."""
        if not isinstance(obj, dict) or obj.keys() - self.params["type_map"].keys():
            return None
        return self._each(lambda key, each: each.assign(obj.get(key)))

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type``."""
        if not isinstance(other, TypedDictType):
            return None
        theirs = other.params["type_map"]
        if theirs.keys() - self.params["type_map"].keys():
            return None
        return self._each(lambda key, each: each.assign_type(theirs.get(key, UnknownType())))

    def _each(self, assign: Callable[[Any, Type], Type | None]) -> TypedDictType | None:
        types = {}
        for key, each in self.params["type_map"].items():
            taken = assign(key, each)
            if taken is None:
                return None
            types[key] = taken
        return TypedDictType(types)

    def __repr__(self) -> str:
        return str(self.params["type_map"])


# What a class's objects are, and what a name in JSON stands for.
_BY_CLASS: dict[type, Callable[[Any], Type]] = {
    type(None): lambda _: NoneType(),
    str: lambda _: StringType(),
    bool: lambda _: BooleanType(),
    int: lambda _: NumberType(),
    float: lambda value: NoneType() if isinstance(value, float) and math.isnan(value) else NumberType(),
    datetime.datetime: lambda _: TimestampType(),
    datetime.date: lambda _: TimestampType(),
    list: lambda value: ListType() if value is None else ListType.of(value),
    tuple: lambda value: ListType() if value is None else ListType.of(value),
    set: lambda value: ListType() if value is None else ListType.of(value),
    frozenset: lambda value: ListType() if value is None else ListType.of(value),
    dict: lambda value: TypedDictType({key: type_of(item) for key, item in (value or {}).items()}),
}
_BY_NAME: dict[str, type[Type]] = {
    kind.name: kind
    for kind in (
        InvalidType,
        AnyType,
        UnknownType,
        NoneType,
        StringType,
        NumberType,
        TimestampType,
        BooleanType,
        PythonObjectType,
        ConstType,
        UnionType,
        ListType,
        NDArrayType,
        TypedDictType,
    )
}
_BY_NAME.update(dictionary=TypedDictType, object=PythonObjectType)


def register(kind: type, wb_type: type[Type], make: Callable[[Any], Type] | None = None) -> None:
    """Say of which type a class's objects are; ``make`` gets the object, or None for any of them."""
    _BY_CLASS[kind] = make or (lambda _: wb_type())
    _BY_NAME[wb_type.name] = wb_type


def register_names(wb_type: type[Type], *names: str) -> None:
    """Say which names stand for a type in JSON."""
    _BY_NAME.update(dict.fromkeys((wb_type.name, *names), wb_type))


def file_type(type_name: str) -> type[Type]:
    """Return the type of a media class, of the name that stands in its JSON."""
    return type(f"_{type_name}", (Type,), {"name": type_name, "__doc__": f"Objects stored as {type_name}."})


def is_nan(value: Any) -> bool:
    """Whether a value is the number NaN, of Python or of numpy."""
    return type(value).__name__.startswith("float") and bool(value != value)


def type_of(obj: Any) -> Type:
    """Return the type of a value."""
    make = _BY_CLASS.get(type(obj))
    if make is not None:
        return make(obj)
    return _numpy_type(type(obj), obj) or PythonObjectType(type(obj).__name__)


def as_type(dtype: Any) -> Type:
    """Return what a person may write for a type as a type.

    A type; a class of Python or of media; a list (of one: a list of such; of several:
    any one of them); a dict (one with these keys); any other value (just that).
    """
    if isinstance(dtype, Type):
        return dtype
    if isinstance(dtype, type):
        if issubclass(dtype, Type):
            return dtype()
        make = _BY_CLASS.get(dtype)
        if make is not None:
            return make(None)
        return _numpy_type(dtype, None) or PythonObjectType(type(dtype).__name__)
    if isinstance(dtype, list):
        return UnionType(dtype) if len(dtype) > 1 else ListType(dtype[0] if dtype else None)
    if isinstance(dtype, dict):
        return TypedDictType(dtype)
    return ConstType(dtype)


def optional(dtype: Any) -> UnionType:
    """Return the type that takes what ``dtype`` takes, and None."""
    return UnionType([as_type(dtype), NoneType()])


def from_json(described: dict[str, Any], artifact: Any = None) -> Type:
    """Make a type from its JSON.

    Raises:
        TypeError: It is none that is known.
    """
    kind = _BY_NAME.get(described.get("wb_type", ""))
    if kind is None:
        raise TypeError(f"missing type handler for {described.get('wb_type')}")
    return kind.from_params(described.get("params", {}), artifact)


def _numpy_type(kind: type, obj: Any) -> Type | None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if issubclass(kind, numpy.bool_):
        return BooleanType()
    if issubclass(kind, numpy.datetime64):
        return TimestampType()
    if issubclass(kind, numpy.number) and not issubclass(kind, numpy.timedelta64):
        return NumberType()
    if kind is numpy.ndarray:
        return NDArrayType(() if obj is None else obj.shape)
    return None


def _params_to_json(value: Any, artifact: Any) -> Any:
    if isinstance(value, Type):
        return value.to_json(artifact)
    if isinstance(value, dict):
        return {key: _params_to_json(item, artifact) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_params_to_json(item, artifact) for item in items]
    return value


def _params_from_json(value: Any, artifact: Any) -> Any:
    if isinstance(value, dict):
        if "wb_type" in value:
            return from_json(value, artifact)
        return {key: _params_from_json(item, artifact) for key, item in value.items()}
    if isinstance(value, list):
        return [_params_from_json(item, artifact) for item in value]
    return value
