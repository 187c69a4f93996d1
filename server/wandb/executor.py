"""A lenient executor of GraphQL: a field that this server does not know is null, and is counted.

A strict schema would refuse a whole query because of one field that another version of the client asks for.
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from graphql import (
    BooleanValueNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    parse,
)

from tracker.errors import NotFoundError, UsageError

Resolver = Callable[..., Any]

# The largest number of tokens in a query. The largest query of the client has about 700.
_MOST_TOKENS = 10_000
# The largest query in characters: the parsed ones are kept.
_LONGEST_QUERY = 200_000
# The largest number of fragments inside of fragments, and of objects inside of objects.
_DEEPEST = 40
# The largest number of fields of an object in a query.
_MOST_FIELDS = 5000
# Seconds after which a query is refused: with aliases, a short query can ask for one slow field very often.
_LONGEST = 60.0
# The largest number of counted names, which come from outside.
_MOST_NAMES = 1000
_log = logging.getLogger(__name__)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# An object answers to these names of types besides the name of its own class.
_INTERFACES = {"ArtifactSequence": {"ArtifactCollection"}, "ArtifactPortfolio": {"ArtifactCollection"}}


class Fields:
    """An object whose public attributes and methods are fields of GraphQL. No other object has fields.

    Attributes:
        internal: Public names that are not fields.
    """

    internal: ClassVar[frozenset[str]] = frozenset(("internal", "typename"))


class Executor:
    """Runs operations against functions, one for each field of ``Query`` and ``Mutation``.

    Args:
        queries: The functions of queries by field. The first argument is the context of the request; the
            others are named after the arguments of the field, in snake case.
        mutations: The functions of mutations by field.

    Attributes:
        answered: Number of the answers to each operation, by its name in the client.
        unknown: How often each unknown field, argument and mutation was asked for.
    """

    def __init__(self, queries: Mapping[str, Resolver], mutations: Mapping[str, Resolver]) -> None:
        self._queries = queries
        self._mutations = mutations
        self.answered: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def run(self, text: str, variables: Mapping[str, Any], context: Any, name: str | None = None) -> Any:
        """Return the data of an operation.

        Args:
            text: The document.
            variables: Values of the variables.
            context: The first argument of each function.
            name: The operation, if the document has several.

        Raises:
            UsageError: The document is not valid, or a mutation is unknown.
            Error: A function has refused the request.
        """
        return _Run(self, _document(text), variables, context).data(name)

    def changes(self, text: str) -> bool:
        """Return whether a document has an operation that changes something.

        Raises:
            UsageError: The document is not valid.
        """
        return any(
            isinstance(each, OperationDefinitionNode) and each.operation is OperationType.MUTATION
            for each in _document(text).definitions
        )

    def root(self, operation: OperationType) -> Mapping[str, Resolver]:
        """Return the functions of a kind of operation."""
        return self._mutations if operation is OperationType.MUTATION else self._queries

    def note(self, name: str) -> None:
        """Count something unknown, and log it the first time."""
        if self._count(self.unknown, name) == 1:
            _log.warning("The wandb client asks for something unknown: %s", name)

    def count(self, operation: str) -> None:
        """Count an answered operation."""
        self._count(self.answered, operation)

    def _count(self, counter: Counter[str], name: str) -> int:
        if name in counter or len(counter) < _MOST_NAMES:
            counter[name] += 1
        return counter[name]


def _document(text: str) -> DocumentNode:
    if len(text) > _LONGEST_QUERY:
        raise UsageError(f"The query has more than {_LONGEST_QUERY} characters.")
    return _parse(text)


@lru_cache(maxsize=256)
def _parse(text: str) -> DocumentNode:
    try:
        return parse(text, no_location=True, max_tokens=_MOST_TOKENS)
    except (GraphQLError, RecursionError) as error:
        raise UsageError(f"Invalid GraphQL: {str(error).splitlines()[0]}") from error


class _Run:
    """One operation."""

    def __init__(
        self, executor: Executor, document: DocumentNode, variables: Mapping[str, Any], context: Any
    ) -> None:
        self._executor = executor
        self._context = context
        self._end = time.monotonic() + _LONGEST
        self._given = variables
        self._variables: dict[str, Any] = {}
        self._collected: dict[tuple[int, str | None], list[FieldNode]] = {}
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._operations = [
            each for each in document.definitions if isinstance(each, OperationDefinitionNode)
        ]

    def data(self, name: str | None) -> dict[str, Any]:
        found = self._operations
        if len(found) > 1:
            found = [each for each in found if each.name is not None and each.name.value == name]
        if len(found) != 1:
            raise UsageError("Send one operation, or name one of those in the document.")
        operation = found[0]
        for variable in operation.variable_definitions or ():
            key = variable.variable.name.value
            if key in self._given:
                self._variables[key] = self._given[key]
            elif variable.default_value is not None:
                self._variables[key] = self._value(variable.default_value)
        functions = self._executor.root(operation.operation)
        answer: dict[str, Any] = {}
        for field in self._fields(operation.selection_set, None):
            key, label = field.name.value, _label(field)
            if key == "__typename":
                answer[label] = operation.operation.value.title()
                continue
            function = functions.get(key)
            if function is None:
                self._executor.note(f"{operation.operation.value} {key}")
                if operation.operation is OperationType.MUTATION:
                    # The client reads the answers of mutations without a check for null, and crashes.
                    raise UsageError(f"This server does not know the operation {key}.")
                answer[label] = None
                continue
            value = self._call(function, field, key, self._context)
            answer[label] = self._complete(value, field.selection_set, key, 1)
            if operation.operation is OperationType.MUTATION and answer[label] is None:
                raise NotFoundError(f"{key} found nothing to change")
        named = operation.name.value if operation.name is not None else ""
        self._executor.count(f"{operation.operation.value} {named}".rstrip())
        return answer

    def _fields(self, chosen: SelectionSetNode, value: Any) -> list[FieldNode]:
        """Return the fields that a selection asks of an object."""
        key = (id(chosen), None if value is None else _name_of(value))
        if key not in self._collected:
            self._collected[key] = self._collect(chosen, value, 0)
        return self._collected[key]

    def _collect(self, chosen: SelectionSetNode, value: Any, depth: int) -> list[FieldNode]:
        if depth > _DEEPEST:
            raise UsageError(f"The query has more than {_DEEPEST} nested fragments.")
        found: list[FieldNode] = []
        for each in chosen.selections:
            if not self._included(each):
                continue
            if isinstance(each, FieldNode):
                found.append(each)
                continue
            fragment: InlineFragmentNode | FragmentDefinitionNode | None
            if isinstance(each, FragmentSpreadNode):
                fragment = self._fragments.get(each.name.value)
            else:
                assert isinstance(each, InlineFragmentNode)
                fragment = each
            if fragment is None:
                raise UsageError("The query names a fragment that it does not define.")
            condition = fragment.type_condition
            if condition is None or _is_of(value, condition.name.value):
                found += self._collect(fragment.selection_set, value, depth + 1)
            if len(found) > _MOST_FIELDS:  # fragments that name others twice would grow without a limit
                raise UsageError(f"The query asks for more than {_MOST_FIELDS} fields of an object.")
        return found

    def _included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            if directive.name.value in ("include", "skip"):
                arguments = {each.name.value: self._value(each.value) for each in directive.arguments or ()}
                if bool(arguments.get("if")) is (directive.name.value == "skip"):
                    return False
        return True

    def _complete(self, value: Any, chosen: SelectionSetNode | None, path: str, depth: int) -> Any:
        if value is None or chosen is None:
            return value
        if isinstance(value, list | tuple):
            return [self._complete(each, chosen, path, depth) for each in value]
        if depth > _DEEPEST:
            raise UsageError(f"The query asks for more than {_DEEPEST} nested objects.")
        answer: dict[str, Any] = {}
        for field in self._fields(chosen, value):
            found = self._complete(
                self._field(value, field), field.selection_set, field.name.value, depth + 1
            )
            label = _label(field)
            before = answer.get(label)
            if isinstance(before, dict) and isinstance(found, dict):
                found = _merged(before, found)  # two fragments ask for parts of one field
            answer[label] = found
        return answer

    def _field(self, value: Any, field: FieldNode) -> Any:
        if time.monotonic() > self._end:
            raise UsageError(f"The query takes more than {_LONGEST:.0f} s: ask for fewer fields or objects.")
        name = field.name.value
        if name == "__typename":
            return _name_of(value)
        if isinstance(value, Mapping):
            if name in value:
                return value[name]
        elif isinstance(value, Fields) and not name.startswith("_") and snake(name) not in value.internal:
            found = getattr(value, snake(name), self)
            if found is not self:
                return self._call(found, field, name) if callable(found) else found
        self._executor.note(f"{_name_of(value)}.{name}")
        return None

    def _call(self, function: Resolver, field: FieldNode, name: str, *first: Any) -> Any:
        known, takes_all = _parameters(function)
        given = {}
        for argument in field.arguments or ():
            value = self._value(argument.value)
            key = snake(argument.name.value)
            if key == "input" and not isinstance(value, dict):
                raise UsageError(f"The input of {name} is not an object.")
            if takes_all or key in known:
                given[key] = value
            elif value is not None:
                self._executor.note(f"{name}({argument.name.value})")
        return function(*first, **given)

    def _value(self, node: ValueNode) -> Any:
        if isinstance(node, VariableNode):
            return self._variables.get(node.name.value)
        if isinstance(node, NullValueNode):
            return None
        if isinstance(node, IntValueNode):
            return int(node.value)
        if isinstance(node, FloatValueNode):
            return float(node.value)
        if isinstance(node, StringValueNode | BooleanValueNode | EnumValueNode):
            return node.value
        if isinstance(node, ListValueNode):
            return [self._value(each) for each in node.values]
        assert isinstance(node, ObjectValueNode)
        # A missing variable means a missing field, as in GraphQL.
        return {
            each.name.value: self._value(each.value)
            for each in node.fields
            if not isinstance(each.value, VariableNode) or each.value.name.value in self._variables
        }


def snake(name: str) -> str:
    """Return a name in snake case: ``historyLineCount`` becomes ``history_line_count``."""
    return _HUMP.sub("_", name).lower()


snake = lru_cache(maxsize=4096)(snake)


def _label(field: FieldNode) -> str:
    return field.alias.value if field.alias is not None else field.name.value


def _name_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("__typename", "Object"))
    return str(getattr(value, "typename", None) or type(value).__name__)


def _is_of(value: Any, name: str) -> bool:
    """Return whether a value is of a type. A payload, which has no type's name here, is of every type."""
    if value is None or (isinstance(value, Mapping) and "__typename" not in value):
        return True
    own = _name_of(value)
    return name == own or name in _INTERFACES.get(own, ())


def _merged(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    return before | {
        key: _merged(before[key], value)
        if isinstance(value, dict) and isinstance(before.get(key), dict)
        else value
        for key, value in found.items()
    }


_KNOWN: dict[Any, tuple[frozenset[str], bool]] = {}


def _parameters(function: Resolver) -> tuple[frozenset[str], bool]:
    key = getattr(function, "__func__", function)
    if key not in _KNOWN:
        parameters = inspect.signature(key).parameters.values()
        _KNOWN[key] = (
            frozenset(each.name for each in parameters),
            any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters),
        )
    return _KNOWN[key]
