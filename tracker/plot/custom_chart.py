"""Charts that a script logs: a table in the history, and a description of the chart in the config."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tracker.data_types.table import Table
from tracker.errors import Error


@dataclass
class CustomChartSpec:
    """The description of a chart.

    Attributes:
        spec_name: Kind of the chart, such as ``wandb/bar/v0``.
        fields: Columns of the table, by their role in the chart.
        string_fields: Texts of the chart, such as its title.
        key: History key of the chart.
        panel_type: Panel type in wandb's config.
        split_table: Whether the dashboard shows the table in a separate section.
    """

    spec_name: str
    fields: dict[str, Any]
    string_fields: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    panel_type: str = "Vega2"
    split_table: bool = False

    @property
    def table_key(self) -> str:
        """The history key of the table."""
        if not self.key:
            raise Error("Key for the custom chart spec is not set.")
        return f"Custom Chart Tables/{self.key}_table" if self.split_table else f"{self.key}_table"

    @property
    def config_key(self) -> tuple[str, str, str]:
        """The keys of the description in the config."""
        return ("_wandb", "visualize", self.key)

    @property
    def config_value(self) -> dict[str, Any]:
        """The description in the config (wandb: ``plot/custom_chart.py``)."""
        table = {
            "name": "summaryTable",
            "args": [{"name": "tableKey", "value": self.table_key}],
            "fields": [],
        }
        columns: list[dict[str, Any]] = [
            {"name": name, "fields": []} for name in ("id", "name", "_defaultColorIndex")
        ]
        runs = {
            "name": "runSets",
            "args": [{"name": "runSets", "value": "${runSets}"}],
            "fields": [*columns, table],
        }
        return {
            "panel_type": self.panel_type,
            "panel_config": {
                "panelDefId": self.spec_name,
                "fieldSettings": self.fields,
                "stringSettings": self.string_fields,
                "transform": {"name": "tableWithLeafColNames"},
                "userQuery": {"queryFields": [runs]},
            },
        }


@dataclass
class CustomChart:
    """A chart that can be logged: a table and the description of the chart."""

    table: Table
    spec: CustomChartSpec

    def set_key(self, key: str) -> None:
        """Set the history key of the chart."""
        self.spec.key = key


@dataclass
class VisualizeSpec:
    """The description of a user-defined chart: its id and its history key."""

    name: str
    key: str = ""

    @property
    def config_key(self) -> tuple[str, str, str]:
        """The keys of the description in the config."""
        return ("_wandb", "viz", self.key)

    @property
    def config_value(self) -> dict[str, Any]:
        """The description in the config."""
        return {"id": self.name, "historyFieldSettings": {"x-axis": "_step", "key": self.key}}


@dataclass
class Visualize:
    """A table that can be logged with a user-defined chart."""

    table: Table
    spec: VisualizeSpec

    def set_key(self, key: str) -> None:
        """Set the history key of the chart."""
        self.spec.key = key


def plot_table(
    vega_spec_name: str,
    data_table: Table,
    fields: dict[str, Any],
    string_fields: dict[str, Any] | None = None,
    split_table: bool = False,
) -> CustomChart:
    """Return a chart of a table.

    Args:
        vega_spec_name: Kind of the chart, such as ``wandb/line/v0``. The dashboard draws the kinds that
            functions of ``plot`` return. For other kinds it shows the table.
        data_table: The data.
        fields: Columns of the table, by their role in the chart.
        string_fields: Texts of the chart, such as its title.
        split_table: Whether the dashboard shows the table in a separate section.

    Raises:
        Error: ``data_table`` is not a ``Table``.
    """
    if not isinstance(data_table, Table):
        raise Error(
            f"Expected `data_table` to be `wandb.Table` type, instead got {type(data_table).__name__}"
        )
    spec = CustomChartSpec(vega_spec_name, fields, string_fields or {}, split_table=split_table)
    return CustomChart(data_table, spec)


def visualize(id: str, value: Table) -> Visualize:
    """Return a table with the id of a user-defined chart.

    Raises:
        Error: ``value`` is not a ``Table``.
    """
    if not isinstance(value, Table):
        raise Error(f"Expected `value` to be `wandb.Table` type, instead got {type(value).__name__}")
    return Visualize(value, VisualizeSpec(id))


vega = plot_table
