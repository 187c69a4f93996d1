// Formats numbers, bytes, durations and times as short text.
import { asNumber, isObject, typeOf, type Json, type JsonObject } from "./json";

const NONE = "–";

/**
 * Formats a number with at most `digits` significant digits, grouped thousands, and an exponent for
 * extreme values.
 */
export function formatNumber(value: number | bigint | null, digits = 5): string {
  if (value === null) return NONE;
  if (typeof value === "bigint") return value.toString();
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e12) return group(value);
  if (size >= 1e7 || size < 1e-4) return exponent(value, digits);
  if (size >= 10 ** digits) return group(Math.round(value));
  return minus(String(Number(value.toPrecision(digits))));
}

function exponent(value: number, digits: number): string {
  const [mantissa = "", power = ""] = value.toExponential(digits - 1).split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return minus(`${short}e${power.replace("+", "")}`);
}

function group(value: number): string {
  return minus(String(value).replace(/\B(?=(\d{3})+$)/g, ","));
}

function minus(text: string): string {
  return text.replace(/^-/, "−");
}

export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return NONE;
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let size = bytes / 1000;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** Formats seconds as the two largest units: `850ms`, `42s`, `3m 05s`, `2h 07m`, `4d 03h`. */
export function formatDuration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds) || seconds < 0) return NONE;
  if (seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  const pad = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}m ${pad(whole % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${pad(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${pad(hours % 24)}h`;
}

/** Formats the age of a Unix time. */
export function formatAgo(time: number, now: number): string {
  const seconds = Math.max(0, now - time);
  if (seconds < 45) return "just now";
  const steps: [number, number, string][] = [
    [3600, 60, "min"],
    [86400, 3600, "h"],
    [86400 * 30, 86400, "d"],
    [86400 * 365, 86400 * 30, "mo"],
    [Infinity, 86400 * 365, "y"],
  ];
  for (const [below, unit, name] of steps) {
    if (seconds < below) return `${Math.max(1, Math.round(seconds / unit))} ${name} ago`;
  }
  return NONE;
}

/** Formats local date and time to the second, in a form that sorts correctly. */
export function formatTime(time: number): string {
  const date = new Date(time * 1000);
  if (Number.isNaN(date.getTime())) return NONE;
  const pad = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** Replaces the Unix time in a problem's text by a date. */
export function formatProblem(line: string): string {
  return line.replace(/(were lost at )(\d+)(?=:|$)/, (_all, before: string, time: string) => before + formatTime(Number(time)));
}

/** Labels for a time axis: the day where it first appears or changes, else only the time. */
export function formatTimeTicks(times: number[], step: number): string[] {
  let day = "";
  return times.map((time) => {
    const text = formatTime(time);
    if (text === NONE) return "";
    const isNew = text.slice(0, 10) !== day;
    day = text.slice(0, 10);
    if (step >= 86400) return day;
    const clock = step < 60 ? text.slice(11) : text.slice(11, 16);
    return isNew ? `${day.slice(5)} ${clock}` : clock;
  });
}

/** Formats a position on the x axis of a chart. */
export function formatX(axis: string, value: number): string {
  if (axis === "_timestamp") return formatTime(value);
  if (axis === "_runtime") return formatDuration(value);
  return formatNumber(value, 8);
}

/** Returns what a media object is, such as "3 images". `type` is its kind, such as `image-file`. */
export function mediaText(type: string, value: JsonObject = {}): string {
  const count = asNumber(value["count"]);
  if (type.startsWith("images/")) return count === null ? "images" : plural(count, "image");
  const [rows, columns] = [asNumber(value["nrows"]), asNumber(value["ncols"])];
  const name = type.replace(/-file$/, "").replace("object3D", "3D object");
  return name === "table" && rows !== null && columns !== null ? `table, ${formatNumber(rows)} × ${formatNumber(columns)}` : name;
}

/** Formats any logged value in one line. */
export function formatValue(value: Json | undefined): string {
  if (value === undefined || value === null) return NONE;
  const number = asNumber(value);
  if (number !== null) return formatNumber(typeof value === "bigint" ? value : number);
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return value;
  const type = typeOf(value);
  if (type !== null) return `(${mediaText(type, isObject(value) ? value : {})})`;
  if (isObject(value) && Object.keys(value).length === 0) return "{}";
  return stringify(value);
}

/** Returns JSON text. Unlike JSON.stringify it accepts the bigint values of parseJson. */
export function stringify(value: Json, indent?: number): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item), indent);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatNumber(count)} ${count === 1 ? one : many}`;
}
