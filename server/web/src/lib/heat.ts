// The cells of a heat map: values over time in bins, one row for each line.
import type { Line } from "./lines";

export interface Heat {
  rows: { name: string; cells: (number | null)[] }[];
  from: number;
  to: number;
  low: number;
  high: number;
}

/** Returns the mean of each line in `bins` equal parts of the time that all lines cover; null without values. */
export function heatOf(lines: { name: string; line: Line }[], bins: number): Heat | null {
  const times = lines.flatMap(({ line }) => [line.x[0], line.x.at(-1)]).filter((x) => x !== undefined);
  if (times.length === 0) return null;
  const from = times.reduce((a, b) => Math.min(a, b), Infinity);
  const to = times.reduce((a, b) => Math.max(a, b), -Infinity);
  let [low, high] = [Infinity, -Infinity];
  const rows = lines.map(({ name, line }) => {
    const sums = new Float64Array(bins);
    const counts = new Uint32Array(bins);
    line.x.forEach((x, i) => {
      const y = line.y[i];
      if (y == null || !Number.isFinite(y)) return;
      const bin = to > from ? Math.min(bins - 1, Math.floor(((x - from) / (to - from)) * bins)) : 0;
      sums[bin] = (sums[bin] as number) + y;
      counts[bin] = (counts[bin] as number) + 1;
      low = Math.min(low, y);
      high = Math.max(high, y);
    });
    const cells = Array.from(sums, (sum, i) => ((counts[i] as number) > 0 ? sum / (counts[i] as number) : null));
    return { name, cells };
  });
  return low <= high ? { rows, from, to, low, high } : null;
}
