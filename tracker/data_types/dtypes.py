"""The types of table columns. Each value that is added can widen the type of its column.

The names of the types and their JSON are those in a table file of an artifact, under ``column_types``
(wandb: ``sdk/data_types/_dtypes.py``).
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar


class Type:
    """A type. By default it accepts only an equal type."""

    name: ClassVar[str] = ""

    def __init__(self, **params: Any) -> None:
        self.params: dict[str, Any] = params

    def assign(self, obj: Any) -> Type | None:
        """Return the type of the column after ``obj`` is added to it; None if ``obj`` does not fit."""
        return self.assign_type(type_of(obj))

    def assign_type(self, other: Type) -> Type | None:
        """Return the type that accepts the values of both types; None if ``other`` does not fit."""
        return self if type(other) is type(self) and other.params == self.params else None

    def to_json(self, artifact: Any = None) -> dict[str, Any]:
        """Return the JSON of the type. Large parameters are stored in ``artifact``."""
        params = _params_to_json(self.params, artifact)
        return {"wb_type": self.name, "params": params} if params else {"wb_type": self.name}

    @classmethod
    def from_params(cls, params: dict[str, Any], artifact: Any) -> Type:
        """Return the type for the ``params`` of its JSON."""
        return cls(**{key: _params_from_json(value, artifact) for key, value in params.items()})

    def explain(self, obj: Any) -> str:
        """Return a message that ``obj`` does not fit."""
        return f"{obj!r} of type {type_of(obj)} is not assignable to {self}"

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}:{value}" for key, value in self.params.items())
        return self.name.capitalize() + (f"({inner})" if inner else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.name == other.name and self.params == other.params

    __hash__ = None  # type: ignore[assignment]


class InvalidType(Type):
    """A type that accepts nothing: the element type of a list whose values have incompatible types."""

    name = "invalid"

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type.assign_type``."""
        return None


class AnyType(Type):
    """A type that accepts everything except None."""

    name = "any"

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type.assign_type``."""
        return None if isinstance(other, (NoneType, InvalidType)) else self


class UnknownType(Type):
    """A type that becomes the type of the first value that is not None."""

    name = "unknown"

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type.assign_type``."""
        return None if isinstance(other, NoneType) else other


class NoneType(Type):
    """None and NaN."""

    name = "none"


class StringType(Type):
    """Text."""

    name = "string"


class NumberType(Type):
    """Numbers of Python and of numpy."""

    name = "number"


class TimestampType(Type):
    """Dates and times."""

    name = "timestamp"


class BooleanType(Type):
    """True and False."""

    name = "boolean"


class PythonObjectType(Type):
    """Any other object, by the name of its class."""

    name = "pythonObject"

    def __init__(self, class_name: str) -> None:
        super().__init__(class_name=class_name)


class ConstType(Type):
    """One constant value."""

    name = "const"

    def __init__(self, val: Any = None, is_set: bool = False) -> None:
        is_set = is_set or isinstance(val, set)
        super().__init__(val=set(val) if is_set else val, is_set=is_set)

    def assign(self, obj: Any) -> Type | None:
        """See ``Type.assign``."""
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
        """See ``Type.assign``."""
        return self._with(lambda allowed: allowed.assign(obj))

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type.assign_type``."""
        union: Type | None = self
        for each in other.params["allowed_types"] if isinstance(other, UnionType) else [other]:
            assert isinstance(union, UnionType)
            union = union._with(lambda allowed, each=each: allowed.assign_type(each))  # type: ignore[misc]
            if union is None:
                return None
        return union

    def _with(self, assign: Callable[[Type], Type | None]) -> UnionType | None:
        allowed = list(self.params["allowed_types"])
        # Try known types before unknown types.
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
    """A list of values of one type; an optional type if a value is NaN, because wandb reads NaN as None."""

    name = "list"

    def __init__(self, element_type: Any = None, length: int | None = None) -> None:
        super().__init__(
            element_type=UnknownType() if element_type is None else as_type(element_type), length=length
        )

    @classmethod
    def of(cls, obj: Any) -> ListType:
        """Return the type of the list ``obj``."""
        items = list(obj)
        missing = any(item is None or is_nan(item) for item in items)
        element: Type = optional(UnknownType()) if missing else UnknownType()
        for item in items:
            element = element.assign(item) or InvalidType()
        return cls(element, len(items))

    def assign(self, obj: Any) -> Type | None:
        """See ``Type.assign``."""
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
        """See ``Type.assign_type``."""
        if not isinstance(other, ListType):
            return None
        element = self.params["element_type"].assign_type(other.params["element_type"])
        length = self.params["length"] if self.params["length"] == other.params["length"] else None
        return None if element is None else ListType(element, length)

    def __repr__(self) -> str:
        return f"{self.params['element_type']}[]"


class NDArrayType(Type):
    """Arrays of one shape. An artifact stores a column of them in a separate file."""

    name = "ndarray"

    def __init__(self, shape: Sequence[int] = (), serialization_path: dict[str, str] | None = None) -> None:
        super().__init__(shape=list(shape))
        self.serialization_path = serialization_path

    def assign(self, obj: Any) -> Type | None:
        """See ``Type.assign``."""
        if isinstance(obj, list):
            shape: list[int] = []
            inner: Any = obj
            while isinstance(inner, list):
                shape.append(len(inner))
                inner = inner[0] if inner else None
            return self if shape == self.params["shape"] else None
        return self.assign_type(type_of(obj)) if hasattr(obj, "__array__") else None

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type.assign_type``."""
        return self if isinstance(other, ListType) else super().assign_type(other)

    def to_json(self, artifact: Any = None) -> dict[str, Any]:
        """See ``Type.to_json``."""
        params = {"shape": self.params["shape"], "serialization_path": self.serialization_path}
        return {"wb_type": self.name, "params": params}


class TypedDictType(Type):
    """A dict with a type for each key."""

    name = "typedDict"

    def __init__(self, type_map: dict[Any, Any] | None = None) -> None:
        super().__init__(type_map={key: as_type(each) for key, each in (type_map or {}).items()})

    def assign(self, obj: Any) -> Type | None:
        """See ``Type.assign``."""
        if not isinstance(obj, dict) or obj.keys() - self.params["type_map"].keys():
            return None
        return self._each(lambda key, each: each.assign(obj.get(key)))

    def assign_type(self, other: Type) -> Type | None:
        """See ``Type.assign_type``."""
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


# The type for each Python class (None instead of a value gives the type of any value) and for each JSON name.
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
    """Register the column type for the objects of a class.

    Args:
        kind: The class.
        wb_type: The column type.
        make: Function that returns the type of an object; called with None for the class itself. Calls
            ``wb_type()`` by default.
    """
    _BY_CLASS[kind] = make or (lambda _: wb_type())
    _BY_NAME[wb_type.name] = wb_type


def register_names(wb_type: type[Type], *names: str) -> None:
    """Register further JSON names of a type."""
    _BY_NAME.update(dict.fromkeys((wb_type.name, *names), wb_type))


def file_type(type_name: str) -> type[Type]:
    """Return a new type for a media class; ``type_name`` is the ``_type`` of its JSON."""
    return type(f"_{type_name}", (Type,), {"name": type_name, "__doc__": f"Objects stored as {type_name}."})


def is_nan(value: Any) -> bool:
    """Return whether a value is NaN, as a float of Python or of numpy."""
    return type(value).__name__.startswith("float") and bool(value != value)


def type_of(obj: Any) -> Type:
    """Return the type of a value."""
    make = _BY_CLASS.get(type(obj))
    if make is not None:
        return make(obj)
    return _numpy_type(type(obj), obj) or PythonObjectType(type(obj).__name__)


def as_type(dtype: Any) -> Type:
    """Return the type for a value that a script gave as a type.

    Args:
        dtype: A type, or a class of Python or of media. A list with one item is a list of that type. A list
            with more items accepts any one of them. A dict has a type for each key. Any other value is
            a constant.
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
    """Return the type that accepts None and all values of ``dtype``."""
    return UnionType([as_type(dtype), NoneType()])


def from_json(described: dict[str, Any], artifact: Any = None) -> Type:
    """Return the type for its JSON.

    Raises:
        TypeError: The type is unknown.
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
