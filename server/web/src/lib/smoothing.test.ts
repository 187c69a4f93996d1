// Tests of smoothing against the formulas, written in another way, and of its text form.
import { expect, it } from "vitest";
import { parseSmoothing, smooth } from "./smoothing";

const column = (values: number[]) => Float64Array.from(values);
// Uneven positions and a value that is missing.
const x = [0, 1, 1.5, 4, 9, 10, 11, 30];
const y = [3, -1, 4, 1, NaN, 9, -2, 6];
const present = y.map((_, i) => i).filter((i) => !Number.isNaN(y[i]));
const at = (values: number[], i: number) => values[i] as number;

function expectClose(found: Float64Array, wanted: (i: number) => number): void {
  for (const i of y.keys()) {
    if (present.includes(i)) expect(found[i]).toBeCloseTo(wanted(i), 12);
    else expect(found[i]).toBeNaN();
  }
}

it("weights the past by its distance on the x axis (EMA)", () => {
  const range = 40;
  const weight = Math.min(Math.sqrt(0.6), 0.999);
  // A value at a distance of d thousandths of the axis has the weight w^d; the weights are divided by their sum.
  expectClose(smooth(column(x), column(y), { kind: "ema", strength: 0.6 }, range), (i) => {
    const past = present.filter((each) => each <= i);
    const weights = past.map((each) => weight ** (((at(x, i) - at(x, each)) / range) * 1000));
    const sum = weights.reduce((a, b) => a + b);
    return past.reduce((total, each, n) => total + at(weights, n) * at(y, each), 0) / sum;
  });
});

it("smooths a sparse line as much as a dense one (EMA)", () => {
  const value = (position: number) => (position < 500 ? 0 : 1);
  const dense = Array.from({ length: 1001 }, (_, i) => i);
  const sparse = dense.filter((i) => i % 10 === 0);
  const last = (positions: number[]) =>
    smooth(column(positions), column(positions.map(value)), { kind: "ema", strength: 0.99 }, 1000)[
      positions.indexOf(600)
    ] as number;
  expect(Math.abs(last(dense) - last(sparse))).toBeLessThan(0.05);
});

it("takes the mean of the points around each point (running average)", () => {
  expectClose(smooth(column(x), column(y), { kind: "mean", strength: 4 }, 40), (i) => {
    const around = present.filter((each) => each >= i - 1 && each <= i + 2);
    return around.reduce((total, each) => total + at(y, each), 0) / around.length;
  });
});

it("weights the points around each point by a normal distribution (Gaussian)", () => {
  const deviation = 0.1 * 40;
  expectClose(smooth(column(x), column(y), { kind: "gauss", strength: 10 }, 40), (i) => {
    const near = present.filter((each) => Math.abs(at(x, each) - at(x, i)) <= 4 * deviation);
    const density = (each: number) =>
      Math.exp(-((at(x, each) - at(x, i)) ** 2) / (2 * deviation ** 2)) / (deviation * Math.sqrt(2 * Math.PI));
    const sum = near.reduce((total, each) => total + density(each), 0);
    return near.reduce((total, each) => total + density(each) * at(y, each), 0) / sum;
  });
});

it("keeps constants", () => {
  for (const kind of ["ema", "mean", "gauss"] as const) {
    const strength = kind === "ema" ? 0.9 : 5;
    for (const value of smooth(column([0, 1, 5]), column([3, 3, 3]), { kind, strength }, 5)) expect(value).toBeCloseTo(3);
  }
});

it("reads its text form, and limits the strength", () => {
  expect(parseSmoothing("ema:0.6")).toEqual({ kind: "ema", strength: 0.6 });
  expect(parseSmoothing("ema:7")).toEqual({ kind: "ema", strength: 0.999 });
  expect(parseSmoothing("mean:10")).toEqual({ kind: "mean", strength: 10 });
  expect(parseSmoothing("gauss:3")).toEqual({ kind: "gauss", strength: 3 });
  for (const text of ["", "ema", "ema:", "ema:x", "ema:0", "mean:1", "other:3", "constructor:1"]) {
    expect(parseSmoothing(text)).toBeNull();
  }
});
