// Charts that a script logged: wandb's custom charts (a table and a specification), and plotly's figures.
import { asNumber, isObject, type Json, type JsonObject } from "./json";

export interface Series {
  name: string;
  x: number[];
  y: number[];
}

export interface Plot {
  kind: "lines" | "points" | "bars" | "matrix";
  title: string;
  xTitle: string;
  yTitle: string;
  series: Series[];
  /** Names along x (bars, columns of a matrix); empty if x is numeric. */
  names: string[];
  /** For a matrix: names of its rows, from top to bottom. */
  rows: string[];
  /** For a matrix: its rows of numbers. */
  cells: number[][];
}

const EMPTY: Plot = { kind: "lines", title: "", xTitle: "", yTitle: "", series: [], names: [], rows: [], cells: [] };

const word = (value: Json | undefined) => (typeof value === "string" ? value : "");

/** A custom chart: its key in the history, the key of its table, and its specification. */
export interface CustomChart {
  key: string;
  tableKey: string;
  spec: string;
  fields: JsonObject;
  texts: JsonObject;
}

/** Charts of wandb.sklearn: the kind, the x and y columns, and the column that separates the series. */
const MODELS: Record<string, [kind: Plot["kind"], x: string, y: string, by: string]> = {
  "wandb/metrics/v1": ["bars", "metric_name", "metric_value", ""],
  "wandb/feature_importances/v1": ["bars", "feature_names", "importances", ""],
  "wandb/class_proportions/v1": ["bars", "class", "count", "dataset"],
  "wandb/learning_curve/v1": ["lines", "train_size", "score", "dataset"],
  "wandb/calibration/v1": ["lines", "mean_predicted_value", "fraction_of_positives", "model"],
  "wandb/elbow/v1": ["lines", "cluster_ranges", "errors", ""],
  "wandb/outliers/v1": ["points", "instance_indicies", "distance", ""],
  "wandb/residuals_plot/v1": ["points", "y_pred", "residuals", "dataset"],
  "wandb/silhouette_/v1": ["points", "x2", "y_sil", "color_sil"],
  "wandb/confusion_matrix/v1": ["matrix", "Predicted", "Actual", ""],
};

/** Returns the custom charts in a run's config, by key. */
export function customCharts(config: JsonObject): CustomChart[] {
  const noted = config["_wandb"];
  const all = isObject(noted) && isObject(noted["visualize"]) ? noted["visualize"] : {};
  const found = Object.entries(all).flatMap(([key, value]) => {
    const panel = isObject(value) && isObject(value["panel_config"]) ? value["panel_config"] : null;
    if (panel === null) return [];
    const text = JSON.stringify(panel["userQuery"] ?? null, (_, item: unknown) => (typeof item === "bigint" ? String(item) : item));
    const tableKey = /"name":"tableKey","value":("(?:[^"\\]|\\.)*")/.exec(text)?.[1];
    return [
      {
        key,
        tableKey: tableKey === undefined ? `${key}_table` : (JSON.parse(tableKey) as string),
        spec: word(panel["panelDefId"]),
        fields: isObject(panel["fieldSettings"]) ? panel["fieldSettings"] : {},
        texts: isObject(panel["stringSettings"]) ? panel["stringSettings"] : {},
      },
    ];
  });
  const models = isObject(noted) && isObject(noted["viz"]) ? noted["viz"] : {};
  for (const [key, value] of Object.entries(models)) {
    const spec = isObject(value) ? word(value["id"]) : "";
    // For other kinds the page shows the table, which is stored under this key.
    if (spec in MODELS) found.push({ key, tableKey: key, spec, fields: {}, texts: {} });
  }
  return found.sort((a, b) => a.key.localeCompare(b.key));
}

/** Returns the plot of a custom chart's table; null for an unknown kind. */
export function plotOf(chart: CustomChart, columns: (string | number)[], rows: Json[][]): Plot | null {
  const values = (name: string) => {
    const index = columns.findIndex((column) => String(column) === name);
    return index < 0 ? null : rows.map((row) => row[index] ?? null);
  };
  const column = (field: string) => values(word(chart.fields[field]));
  const title = word(chart.texts["title"]) || chart.key;
  const base = { ...EMPTY, title };
  const kind = /^wandb\/([a-z-_]+)\/v\d+$/.exec(chart.spec)?.[1] ?? "";
  const model = Object.keys(chart.fields).length === 0 ? MODELS[chart.spec] : undefined;
  if (model !== undefined) {
    const [drawn, x, y, by] = model;
    const [xs, ys, groups] = [values(x), values(y), by === "" ? null : values(by)];
    if (xs === null || ys === null) return null;
    const titles = { xTitle: x, yTitle: y };
    if (drawn === "matrix") return { ...base, ...matrix(ys, xs, values("Count") ?? []), ...titles };
    const names = drawn === "bars" ? [...new Set(xs.map(String))] : [];
    const places = drawn === "bars" ? xs.map((name) => names.indexOf(String(name))) : xs;
    const series = grouped(places, ys, groups);
    if (drawn === "lines") for (const line of series) sortByX(line);
    return { ...base, kind: drawn, names, series, ...titles };
  }
  if (kind === "bar") {
    const [label, value] = [column("label"), column("value")];
    if (label === null || value === null) return null;
    const y = value.map((item) => asNumber(item) ?? NaN);
    return { ...base, kind: "bars", names: label.map(String), yTitle: word(chart.fields["value"]), series: [{ name: "", x: y.map((_, i) => i), y }] };
  }
  if (kind === "histogram") {
    const value = column("value");
    return value === null ? null : { ...base, ...histogram(value.map((item) => asNumber(item) ?? NaN)), xTitle: word(chart.fields["value"]), yTitle: "count" };
  }
  if (kind === "confusion_matrix") {
    const [actual, predicted, count] = [column("Actual"), column("Predicted"), column("nPredictions")];
    if (actual === null || predicted === null || count === null) return null;
    return { ...base, ...matrix(actual, predicted, count), xTitle: "Predicted", yTitle: "Actual" };
  }
  const [xField, yField, by] =
    { line: ["x", "y", "stroke"], scatter: ["x", "y", ""], lineseries: ["step", "lineVal", "lineKey"], "area-under-curve": ["x", "y", "class"] }[kind] ?? [];
  if (xField === undefined || yField === undefined || by === undefined) return null;
  const [xs, ys] = [column(xField), column(yField)];
  if (xs === null || ys === null) return null;
  const series = grouped(xs, ys, by === "" ? null : column(by));
  if (kind !== "scatter" && kind !== "area-under-curve") for (const line of series) sortByX(line);
  return {
    ...base,
    kind: kind === "scatter" ? "points" : "lines",
    series,
    xTitle: word(chart.texts["x-axis-title"]) || word(chart.texts["xname"]) || word(chart.fields[xField]),
    yTitle: word(chart.texts["y-axis-title"]) || (kind === "lineseries" ? "" : word(chart.fields[yField])),
  };
}

/** Returns the plot of a plotly figure with lines, points or bars; null for any other figure. */
export function figureOf(figure: Json): Plot | null {
  if (!isObject(figure)) return null;
  const layout = isObject(figure["layout"]) ? figure["layout"] : {};
  const titleOf = (value: Json | undefined): string =>
    isObject(value) ? (isObject(value["title"]) ? word(value["title"]["text"]) : word(value["title"])) : "";
  const series: Series[] = [];
  let kind: Plot["kind"] = "points";
  let names: string[] = [];
  for (const trace of Array.isArray(figure["data"]) ? figure["data"] : []) {
    if (!isObject(trace)) continue;
    const type = word(trace["type"]) || "scatter";
    if (type !== "scatter" && type !== "scattergl" && type !== "bar") return null;
    const y = numbers(trace["y"]);
    const given = trace["x"];
    const labels = Array.isArray(given) && given.some((item) => typeof item === "string") ? given.map(String) : null;
    if (labels !== null && labels.length > names.length) names = labels;
    const x = given === undefined || given === null || labels !== null ? y.map((_, i) => i) : numbers(given);
    series.push({ name: word(trace["name"]), x, y });
    if (type === "bar") kind = "bars";
    else if (kind !== "bars" && (word(trace["mode"]) === "" || word(trace["mode"]).includes("lines"))) kind = "lines";
  }
  if (series.length === 0) return null;
  if (kind === "bars" && names.length === 0) names = (series[0] as Series).x.map(String);
  return { ...EMPTY, kind, series, names, title: titleOf(layout), xTitle: titleOf(layout["xaxis"]), yTitle: titleOf(layout["yaxis"]) };
}

/** Returns the numbers of a plotly array: a list, or typed numbers in base64. */
export function numbers(value: Json | undefined): number[] {
  if (Array.isArray(value)) return value.map((item) => asNumber(item) ?? NaN);
  if (!isObject(value)) return [];
  const [dtype, data] = [word(value["dtype"]), word(value["bdata"])];
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0)).buffer;
  switch (dtype) {
    case "f8":
      return [...new Float64Array(bytes)];
    case "f4":
      return [...new Float32Array(bytes)];
    case "i1":
      return [...new Int8Array(bytes)];
    case "u1":
      return [...new Uint8Array(bytes)];
    case "i2":
      return [...new Int16Array(bytes)];
    case "u2":
      return [...new Uint16Array(bytes)];
    case "i4":
      return [...new Int32Array(bytes)];
    case "u4":
      return [...new Uint32Array(bytes)];
    default:
      return [];
  }
}

/** Returns one series for each group, in order of appearance; without groups one series. */
function grouped(xs: Json[], ys: Json[], groups: Json[] | null): Series[] {
  const series = new Map<string, Series>();
  xs.forEach((x, i) => {
    const name = groups === null ? "" : String(groups[i]);
    let line = series.get(name);
    if (line === undefined) series.set(name, (line = { name, x: [], y: [] }));
    line.x.push(asNumber(x) ?? NaN);
    line.y.push(asNumber(ys[i] ?? null) ?? NaN);
  });
  return [...series.values()];
}

function matrix(actual: Json[], predicted: Json[], count: Json[]): Pick<Plot, "kind" | "names" | "rows" | "cells"> {
  const [names, below] = [[...new Set(predicted.map(String))], [...new Set(actual.map(String))]];
  const cells = below.map(() => names.map(() => 0));
  actual.forEach((name, i) => {
    const row = cells[below.indexOf(String(name))];
    if (row !== undefined) row[names.indexOf(String(predicted[i]))] = asNumber(count[i] ?? null) ?? 0;
  });
  return { kind: "matrix", names, rows: below, cells };
}

function sortByX(line: Series): void {
  const order = line.x.map((_, i) => i).sort((a, b) => (line.x[a] as number) - (line.x[b] as number));
  [line.x, line.y] = [order.map((i) => line.x[i] as number), order.map((i) => line.y[i] as number)];
}

function histogram(values: number[]): Pick<Plot, "kind" | "series" | "names"> {
  const finite = values.filter(Number.isFinite);
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const bins = Math.max(1, Math.min(30, Math.ceil(Math.sqrt(finite.length))));
  const width = high > low ? (high - low) / bins : 1;
  const counts = new Array<number>(finite.length === 0 ? 0 : bins).fill(0);
  for (const value of finite) {
    const bin = Math.min(bins - 1, Math.floor((value - low) / width));
    counts[bin] = (counts[bin] as number) + 1;
  }
  const names = counts.map((_, i) => String(Number((low + (i + 0.5) * width).toPrecision(3))));
  return { kind: "bars", names, series: [{ name: "", x: counts.map((_, i) => i), y: counts }] };
}
