// Decodes grouped curves, and turns them into lines with a band.
import { decodeBlocks, type BlockItem } from "./chart-data";
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

interface CurveHeader extends BlockItem {
  group: string;
  x: string;
  width: number;
  runs: number;
}

/** Decodes the blocks of grouped curves. */
export function decodeCurves(buffer: ArrayBuffer): Curve[] {
  return decodeBlocks(buffer, ({ group, key, x: axis, width, runs, length }: CurveHeader, columns) => {
    const all = Object.fromEntries(COLUMNS.map((name) => [name, columns.get(name) ?? new Float64Array(length)]));
    return { ...(all as Record<(typeof COLUMNS)[number], Float64Array>), group, key, axis, width, runs };
  });
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
