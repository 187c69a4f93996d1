// Statistics of the values of runs: correlation, trend, quantiles, and the share of variance that a setting explains.

export function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Returns the sample standard deviation; NaN for fewer than two values. */
export function standardDeviation(values: number[]): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

/** Returns Pearson's correlation of two lists of equal length; null if it is not defined. */
export function pearson(x: number[], y: number[]): number | null {
  const [mx, my] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [(x[i] as number) - mx, (y[i] as number) - my];
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  const found = xy / Math.sqrt(xx * yy);
  return x.length > 1 && Number.isFinite(found) ? Math.max(-1, Math.min(1, found)) : null;
}

/** Returns the ranks of values, from 1. Equal values have the mean of their ranks. */
export function ranks(values: number[]): number[] {
  const order = values.map((_, at) => at).sort((a, b) => (values[a] as number) - (values[b] as number));
  const result = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to] as number] === values[order[from] as number]) to += 1;
    for (let at = from; at < to; at++) result[order[at] as number] = (from + to + 1) / 2;
    from = to;
  }
  return result;
}

/** Returns Spearman's rank correlation; null if it is not defined. */
export function spearman(x: number[], y: number[]): number | null {
  return pearson(ranks(x), ranks(y));
}

/** Returns the least-squares line; null if all `x` are equal. */
export function trend(x: number[], y: number[]): { slope: number; start: number } | null {
  const [mx, my] = [mean(x), mean(y)];
  let [xy, xx] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    xy += ((x[i] as number) - mx) * ((y[i] as number) - my);
    xx += ((x[i] as number) - mx) ** 2;
  }
  const slope = xy / xx;
  return x.length > 1 && Number.isFinite(slope) ? { slope, start: my - slope * mx } : null;
}

/** Returns a quantile of sorted values, interpolated linearly. */
export function quantile(sorted: number[], probability: number): number {
  const at = (sorted.length - 1) * probability;
  const low = sorted[Math.floor(at)] as number;
  return low + ((sorted[Math.ceil(at)] as number) - low) * (at % 1);
}

export interface Box {
  n: number;
  mean: number;
  std: number;
  low: number;
  first: number;
  median: number;
  third: number;
  high: number;
}

/** Returns mean, standard deviation, quartiles and extremes; null without values. */
export function boxOf(values: number[]): Box | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return {
    n: sorted.length,
    mean: mean(sorted),
    std: standardDeviation(sorted),
    low: sorted[0] as number,
    first: quantile(sorted, 0.25),
    median: quantile(sorted, 0.5),
    third: quantile(sorted, 0.75),
    high: sorted.at(-1) as number,
  };
}

/**
 * Returns the share of the variance of `y` that the groups explain: epsilon squared of a one-way analysis of variance,
 * which corrects for the number of groups. Null if it is not defined.
 */
export function explained(groups: number[][]): number | null {
  const filled = groups.filter((group) => group.length > 0);
  const all = filled.flat();
  const [n, k] = [all.length, filled.length];
  if (n <= k || k < 2) return null;
  const squares = (values: number[]) => {
    const middle = mean(values);
    return values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  };
  const total = squares(all);
  if (!(total > 0)) return null;
  const within = filled.reduce((sum, group) => sum + squares(group), 0);
  return Math.max(0, 1 - within / (n - k) / (total / (n - 1)));
}

/** Numbers of a setting are put into at most this many groups of about equal size. */
export const BINS = 5;

/** Groups `y` by the values of a setting: one group a value if there are few values, else bins of equal size. */
export function groupsBy(x: (number | string)[], y: number[]): number[][] {
  const distinct = new Set(x);
  const numbers = x.every((value) => typeof value === "number");
  const labels: (number | string)[] = numbers && distinct.size > BINS ? binned(x as number[]) : x;
  const groups = new Map<number | string, number[]>();
  for (const [at, label] of labels.entries()) groups.set(label, [...(groups.get(label) ?? []), y[at] as number]);
  return [...groups.values()];
}

/** Equal values are always in the same bin. */
function binned(x: number[]): number[] {
  return ranks(x).map((rank) => Math.min(BINS - 1, Math.floor(((rank - 0.5) / x.length) * BINS)));
}

export interface Importance {
  field: string;
  /** Runs with a value of the field and of the target. */
  n: number;
  /** Share of variance from 0 to 1; null if it is not defined. */
  share: number | null;
  /** Correlations; null for texts and for constant fields. */
  pearson: number | null;
  spearman: number | null;
}

/** Ranks fields by the share of the target's variance that each explains alone. Constant fields are left out. */
export function importances(
  rows: Record<string, number | string>[],
  fields: string[],
  target: string,
): Importance[] {
  const found: Importance[] = [];
  for (const field of fields) {
    const both = rows.filter((row) => row[field] !== undefined && typeof row[target] === "number");
    const x = both.map((row) => row[field] as number | string);
    const y = both.map((row) => row[target] as number);
    if (new Set(x).size < 2) continue;
    const numbers = x.every((value) => typeof value === "number") ? (x as number[]) : null;
    found.push({
      field,
      n: x.length,
      share: explained(groupsBy(x, y)),
      pearson: numbers && pearson(numbers, y),
      spearman: numbers && spearman(numbers, y),
    });
  }
  return found.sort((a, b) => (b.share ?? -1) - (a.share ?? -1) || Math.abs(b.spearman ?? 0) - Math.abs(a.spearman ?? 0));
}
