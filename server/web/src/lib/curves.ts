// Decodes grouped curves, and turns them into lines with a band.
import { ChartFormatError } from "./chart-data";
import type { Line } from "./lines";
import type { Band } from "./panel-settings";

const COLUMNS = ["x", "n", "mean", "std", "stderr", "min", "max", "values", "nonfinite"] as const;

export interface Curve extends Record<(typeof COLUMNS)[number], Float64Array> {
  group: string;
  key: string;
  /** The key on the x axis. */
  axis: string;
  /** Width of the bucket of each point; 0 for exact positions. */
  width: number;
  /** Runs of the group that have the key. */
  runs: number;
}

interface CurveHeader {
  group: string;
  key: string;
  x: string;
  width: number;
  runs: number;
  length: number;
  columns: string[];
}

/** Decodes blocks one after the other: length of the header, header, little-endian Float64 columns. */
export function decodeCurves(buffer: ArrayBuffer): Curve[] {
  const curves: Curve[] = [];
  let at = 0;
  while (at < buffer.byteLength) {
    if (at + 4 > buffer.byteLength) throw new ChartFormatError("The curves end inside a header.");
    const length = new DataView(buffer).getUint32(at, true);
    const start = at + 4;
    at = start + length;
    if (at > buffer.byteLength || at % 8 !== 0) throw new ChartFormatError("The curves have a bad header length.");
    const text = new TextDecoder().decode(new Uint8Array(buffer, start, length));
    for (const header of (JSON.parse(text) as { series: CurveHeader[] }).series) {
      const columns: Record<string, Float64Array> = {};
      for (const name of header.columns) {
        if (at + header.length * 8 > buffer.byteLength) throw new ChartFormatError(`The curves end inside ${header.key}.`);
        columns[name] = new Float64Array(buffer, at, header.length);
        at += header.length * 8;
      }
      const { group, key, x: axis, width, runs } = header;
      const all = Object.fromEntries(COLUMNS.map((name) => [name, columns[name] ?? new Float64Array(header.length)]));
      curves.push({ ...(all as Record<(typeof COLUMNS)[number], Float64Array>), group, key, axis, width, runs });
    }
  }
  return curves;
}

/** Returns the mean as a line, and the band that the settings choose. With one run the band is the mean. */
export function curveLine(curve: Curve, band: Band): Line {
  const spread = (sign: number) =>
    curve.mean.map((mean, at) => {
      if (band === "minmax") return (sign < 0 ? curve.min : curve.max)[at] as number;
      const part = (band === "std" ? curve.std : curve.stderr)[at] as number;
      return mean + sign * (Number.isFinite(part) ? part : 0);
    });
  return {
    x: curve.x,
    y: curve.mean,
    band: band === "none" ? null : { low: spread(-1), high: spread(1) },
    buckets: null,
    marks: [],
    last: curve.mean.at(-1) ?? null,
  };
}
