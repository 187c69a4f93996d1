// Smoothing of lines: the kinds, their text form in the address, and their formulas.

export type SmoothingKind = "ema" | "mean" | "gauss";

export interface Smoothing {
  kind: SmoothingKind;
  /** `ema`: a weight from 0 to 1. `mean`: number of points. `gauss`: standard deviation in percent of the x range. */
  strength: number;
}

/** The limits of the strength of each kind, a step for a slider, and the strength after a first choice. */
export const SMOOTHINGS: Record<SmoothingKind, { name: string; unit: string; min: number; max: number; step: number; first: number }> = {
  ema: { name: "Time-weighted EMA", unit: "", min: 0, max: 0.999, step: 0.001, first: 0.6 },
  mean: { name: "Running average", unit: "points", min: 1, max: 201, step: 1, first: 11 },
  gauss: { name: "Gaussian", unit: "% of the range", min: 0, max: 20, step: 0.1, first: 2 },
};

/** Parses a text such as `ema:0.6`; null for no smoothing and for an invalid text. */
export function parseSmoothing(text: string): Smoothing | null {
  const [kind, given = ""] = text.split(":");
  const strength = Number(given);
  if (kind === undefined || !Object.hasOwn(SMOOTHINGS, kind) || given.trim() === "" || !Number.isFinite(strength)) return null;
  const limits = SMOOTHINGS[kind as SmoothingKind];
  const limited = Math.min(limits.max, Math.max(limits.min, strength));
  return limited === 0 || (kind === "mean" && limited === 1) ? null : { kind: kind as SmoothingKind, strength: limited };
}

/** The x range of a chart has this many units for the weights of the average, as in W&B. */
const VIEWPORT_SCALE = 1000;
/** A Gaussian is cut at this many standard deviations. */
const REACH = 4;

/**
 * Smooths the values `y` at sorted positions `x`. NaN stays NaN and has no weight.
 * `range` is the width of the x axis: for the average over time and for the Gaussian, distances are parts of it.
 */
export function smooth(x: Float64Array, y: Float64Array, { kind, strength }: Smoothing, range: number): Float64Array {
  if (kind === "ema") return movingAverage(x, y, strength, range);
  if (kind === "mean") return runningMean(y, Math.round(strength));
  return gaussian(x, y, (strength / 100) * range);
}

/**
 * Returns the debiased exponential average. The weight of the past falls with the distance on the x axis, not with
 * the number of points, so that lines with many and with few points are smoothed equally.
 */
function movingAverage(x: Float64Array, y: Float64Array, strength: number, range: number): Float64Array {
  const weight = Math.min(Math.sqrt(strength), 0.999);
  const smoothed = new Float64Array(y.length).fill(NaN);
  let sum = 0;
  let weights = 0;
  let before = NaN;
  for (let i = 0; i < y.length; i++) {
    const value = y[i] as number;
    if (Number.isNaN(value)) continue;
    const at = x[i] as number;
    const distance = Number.isNaN(before) || !(range > 0) ? 0 : ((at - before) / range) * VIEWPORT_SCALE;
    const kept = weight ** distance;
    sum = sum * kept + value;
    weights = weights * kept + 1;
    before = at;
    smoothed[i] = sum / weights;
  }
  return smoothed;
}

/** Returns the mean of up to `count` points around each point; fewer at the ends. */
function runningMean(y: Float64Array, count: number): Float64Array {
  const before = Math.floor((count - 1) / 2);
  const after = Math.floor(count / 2);
  return y.map((value, i) => {
    if (Number.isNaN(value)) return NaN;
    let sum = 0;
    let seen = 0;
    for (let at = Math.max(0, i - before); at <= Math.min(y.length - 1, i + after); at++) {
      const each = y[at] as number;
      if (Number.isNaN(each)) continue;
      sum += each;
      seen += 1;
    }
    return sum / seen;
  });
}

/** Returns the mean of the points around each point, with the weights of a normal distribution of `deviation`. */
function gaussian(x: Float64Array, y: Float64Array, deviation: number): Float64Array {
  if (!(deviation > 0)) return y;
  const reach = REACH * deviation;
  let first = 0;
  return y.map((value, i) => {
    if (Number.isNaN(value)) return NaN;
    const center = x[i] as number;
    while ((x[first] as number) < center - reach) first += 1;
    let sum = 0;
    let weights = 0;
    for (let at = first; at < y.length; at++) {
      const distance = (x[at] as number) - center;
      if (distance > reach) break;
      const each = y[at] as number;
      if (Number.isNaN(each)) continue;
      const weight = Math.exp(-0.5 * (distance / deviation) ** 2);
      sum += weight * each;
      weights += weight;
    }
    return sum / weights;
  });
}
