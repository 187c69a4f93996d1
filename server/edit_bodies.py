"""Bodies of requests that change runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

# The store checks the values, so that all readers get the same messages: the types are for the documentation.
_Name = Annotated[Any, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 1000})]
_Text = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})]
_Texts = Annotated[Any, WithJsonSchema({"type": "array", "items": {"type": "string"}})]
_Keys = Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})]
_Flag = Annotated[Any, WithJsonSchema({"type": "boolean"})]


class RunEdit(BaseModel):
    """New values of fields of a run. A field that is not given stays.

    ``config`` and ``summary`` contain the changed keys; ``config_removed`` and ``summary_removed`` list the
    removed keys. Null removes notes, group and job type.
    """

    model_config = ConfigDict(extra="forbid")
    name: _Name = None
    tags: _Texts = None
    tags_added: _Texts = None
    tags_removed: _Texts = None
    notes: _Text = None
    group: _Text = None
    job_type: _Text = None
    config: _Keys = None
    config_removed: _Texts = None
    summary: _Keys = None
    summary_removed: _Texts = None
    archived: _Flag = None

    def given(self) -> dict[str, Any]:
        """Return the fields that the request has."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class RunMove(BaseModel):
    """The target of a move: a project, by default of the same entity. It is created if it does not exist."""

    model_config = ConfigDict(extra="forbid")
    to_entity: str | None = None
    to_project: str


class BulkChange(BaseModel):
    """A change of many runs: those with the ids ``runs``, or those that match ``filters``."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["edit", "delete", "restore", "move"]
    runs: Annotated[list[str], Field(max_length=10_000)] | None = None
    filters: dict[str, Any] | None = None
    values: RunEdit | None = None
    artifacts: bool = False
    now: bool = False
    to_entity: str | None = None
    to_project: str | None = None
    dry_run: bool = False

    def options(self) -> dict[str, Any]:
        """Return the arguments of ``change_runs``."""
        names = ("runs", "filters", "artifacts", "now", "to_entity", "to_project", "dry_run")
        values = self.values.given() if self.values is not None else None
        return {**{name: getattr(self, name) for name in names}, "values": values}
