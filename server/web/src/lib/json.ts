// Reads JSON without losing large integers, and reads the markers for numbers that JSON does not have.

/** Any JSON value. Integers beyond 2^53 are exact, as bigint. */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

type Reviver = (key: string, value: unknown, context?: { source?: string }) => unknown;

const LARGE_INTEGER = /[[:,\s]-?\d{16,}\s*[,\]}]/;

const keepLargeIntegers: Reviver = (_key, value, context) => {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
};

/** Like JSON.parse, but keeps integers beyond 2^53 exact if the browser provides their source text. */
export function parseJson(text: string): unknown {
  return LARGE_INTEGER.test(text)
    ? JSON.parse(text, keepLargeIntegers as (key: string, value: unknown) => unknown)
    : JSON.parse(text);
}

/**
 * Returns the number in a JSON value, including `{"_type":"number","value":"NaN"}`; null for anything
 * else.
 */
export function asNumber(value: Json | undefined): number | null {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  if (value["_type"] !== "number") return null;
  const name = value["value"];
  if (name === "NaN") return NaN;
  if (name === "Infinity") return Infinity;
  if (name === "-Infinity") return -Infinity;
  return null;
}

export function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns the `_type` marker of a logged object (an image, a table, a number), if it has one. */
export function typeOf(value: Json | undefined): string | null {
  if (!isObject(value)) return null;
  const type = value["_type"];
  return typeof type === "string" ? type : null;
}

/** Returns nested settings as [dotted key, leaf] pairs. Marked objects and empty objects are leaves. */
export function flatten(value: { [key: string]: Json }, prefix = ""): [string, Json][] {
  const pairs: [string, Json][] = [];
  for (const [key, item] of Object.entries(value)) {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    if (isObject(item) && typeOf(item) === null && Object.keys(item).length > 0) {
      pairs.push(...flatten(item, path));
    } else {
      pairs.push([path, item]);
    }
  }
  return pairs;
}

/** Finds a dotted key in nested settings. A key that itself contains dots takes precedence over nesting. */
export function lookup(value: { [key: string]: Json }, path: string): Json | undefined {
  if (Object.hasOwn(value, path)) return value[path];
  for (let dot = path.indexOf("."); dot !== -1; dot = path.indexOf(".", dot + 1)) {
    const head = path.slice(0, dot);
    const child = Object.hasOwn(value, head) ? value[head] : undefined;
    if (isObject(child)) {
      const found = lookup(child, path.slice(dot + 1));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
