// The content of one chart as plain data: aligned columns with their roles.
import type { LineStyle } from "../lib/colors";
import { align, smooth, valueRange, type Cell, type Columns, type Line, type Mark } from "../lib/lines";

export interface NamedLine {
  id: string;
  name: string;
  style: LineStyle;
  line: Line;
}

export interface ChartView {
  axis: string;
  zoom: [number, number] | null;
  log: boolean;
  smoothing: number;
}

export type Role = "main" | "ghost" | "low" | "high";

export interface ModelColumn {
  role: Role;
  /** Index of the line of this column. */
  line: number;
  style: LineStyle;
}

export interface ChartModel {
  x: number[];
  columns: Cell[][];
  meta: ModelColumn[];
  marks: { mark: Mark; color: string }[];
  /** Equal for two models that differ only in their values: then the drawn chart can be updated. */
  shape: string;
}

function positive(column: Cell[]): Cell[] {
  return column.map((value) => (value != null && value <= 0 ? null : value));
}

export function buildModel(lines: NamedLine[], view: ChartView): ChartModel {
  const sources: Columns[] = [];
  const meta: ModelColumn[] = [];
  const marks: ChartModel["marks"] = [];
  for (const [index, { line, style }] of lines.entries()) {
    const columns: Cell[][] = [];
    const add = (role: Role, column: Cell[]) => {
      columns.push(view.log ? positive(column) : column);
      meta.push({ role, line: index, style });
    };
    if (line.band !== null) {
      add("low", line.band.low);
      add("high", line.band.high);
    }
    if (view.smoothing > 0) add("ghost", line.y);
    add("main", smooth(line.y, view.smoothing));
    sources.push({ x: line.x, columns });
    for (const mark of line.marks) marks.push({ mark, color: style.color });
  }
  const { x, columns } = align(sources);
  const looks = meta.map(({ role, style }) => `${role}${style.color}${style.dash.join(".")}`);
  return { x, columns, meta, marks, shape: JSON.stringify([view.axis, view.log, looks]) };
}

/** Returns the points that need a dot: isolated ones, or all of them if there are at most `few`. */
export function dotIndices(column: Cell[], few: number): number[] {
  const defined: number[] = [];
  for (const [i, value] of column.entries()) if (value !== undefined) defined.push(i);
  const has = (at: number) => column[defined[at] ?? -1] != null;
  const present = defined.filter((i) => column[i] !== null);
  if (present.length <= few) return present;
  return defined.filter((_, at) => has(at) && !has(at - 1) && !has(at + 1));
}

/** Returns the x range of a chart without zoom. A single position gets space on both sides. */
export function xRange(x: number[], zoom: [number, number] | null, axis: string): [number, number] {
  if (zoom !== null) return zoom;
  const first = x[0];
  const last = x.at(-1);
  if (first === undefined || last === undefined) return [0, 1];
  if (first < last) return [first, last];
  const room = axis === "_timestamp" ? 30 : Math.max(0.5, Math.abs(first) * 0.05);
  return [first - room, first + room];
}

/** Returns how far beyond its ends a line still reports a value: a single line always, others only nearby. */
export function reachOf(single: boolean, low: number, high: number): number {
  return single ? Infinity : (high - low) * 0.02;
}

/** Returns the y range of the part between two x positions. */
export function yRange(model: ChartModel, low: number, high: number, log: boolean): [number, number] {
  const from = model.x.findIndex((value) => value >= low);
  const past = model.x.findIndex((value) => value > high);
  const end = past === -1 ? model.x.length : past;
  const part = from === -1 ? [] : model.columns.map((column) => column.slice(from, end));
  return valueRange(part, log) ?? valueRange(model.columns, log) ?? (log ? [0.1, 10] : [0, 1]);
}
