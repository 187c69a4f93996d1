// Round positions for the value axis, for every magnitude of a double.

const STEPS = [1, 2, 2.5, 5, 10];

/** Returns about `count` multiples of a round step between two values. */
export function linearTicks(low: number, high: number, count: number): number[] {
  // Divide first: high - low may exceed the largest double.
  const rough = (high / 2 - low / 2) / (Math.max(1, count) / 2);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  if (power === 0) return [];
  const step = (STEPS.find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  if (last - first > 1000) return [];
  const ticks: number[] = [];
  // Adding 0 turns -0 into 0. toPrecision removes rounding errors of k times step.
  for (let k = first; k <= last; k++) ticks.push(Number((k * step).toPrecision(12)) + 0);
  return ticks;
}

/** Rounds a range to about four digits of its width, so that the address stays short. */
export function roundRange([low, high]: [number, number]): [number, number] {
  const unit = 10 ** (Math.floor(Math.log10(high - low)) - 3);
  if (!(unit > 0)) return [low, high];
  const round = (value: number) => Number((Math.round(value / unit) * unit).toPrecision(15));
  return [round(low), round(high)];
}

/**
 * Returns about `count` powers of ten between two positive values; round values if there are too few
 * powers.
 */
export function logTicks(low: number, high: number, count: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return linearTicks(low, high, count).filter((tick) => tick > 0);
  const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, count)));
  const ticks: number[] = [];
  for (let power = first; power <= last; power += every) ticks.push(Number(`1e${power}`));
  return ticks;
}
