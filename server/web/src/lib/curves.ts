// Decodes grouped curves.
import { decodeBlocks, type BlockItem } from "./chart-data";

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
  /** The rank, if a curve of each rank was asked for. */
  rank: number | null;
}

interface CurveHeader extends BlockItem {
  group: string;
  x: string;
  width: number;
  runs: number;
  rank?: number | null;
}

/** Decodes the blocks of grouped curves. */
export function decodeCurves(buffer: ArrayBuffer): Curve[] {
  return decodeBlocks(buffer, ({ group, key, x: axis, width, runs, rank = null, length }: CurveHeader, columns) => {
    const all = Object.fromEntries(COLUMNS.map((name) => [name, columns.get(name) ?? new Float64Array(length)]));
    return { ...(all as Record<(typeof COLUMNS)[number], Float64Array>), group, key, axis, width, runs, rank };
  });
}
