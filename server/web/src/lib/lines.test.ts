// Tests of lines: order, gaps, marks, bands, alignment of several runs, smoothing.
import { describe, expect, it } from "vitest";
import { align, nearest, readLine, smooth, toLine, valueRange } from "./lines";

const points = (x: number[], y: number[]) =>
  toLine({ key: "k", kind: "points", x: Float64Array.from(x), y: Float64Array.from(y) });

describe("toLine", () => {
  it("marks non-finite values and leaves a gap there", () => {
    const line = points([0, 1, 2, 3], [1, NaN, Infinity, 4]);
    expect(line.y).toEqual([1, null, null, 4]);
    expect(line.marks).toEqual([
      { x: 1, value: NaN },
      { x: 2, value: Infinity },
    ]);
    expect(line.last).toBe(4);
  });

  it("sorts by x, keeps the order of equal positions, and drops non-finite positions", () => {
    const line = points([5, 1, 1, NaN], [50, 10, 11, 99]);
    expect(line.x).toEqual([1, 1, 5]);
    expect(line.y).toEqual([10, 11, 50]);
  });

  it("uses the range of buckets as the band", () => {
    const column = (...values: number[]) => Float64Array.from(values);
    const line = toLine({
      key: "k",
      kind: "buckets",
      x: column(1, 2, 3),
      last: column(5, 7, NaN),
      min: column(4, 7, NaN),
      max: column(6, 7, NaN),
      mean: column(5, 7, NaN),
      count: column(3, 3, 3),
      minStep: column(0, 4, NaN),
      maxStep: column(1, 4, NaN),
      nonfinite: column(0, 1, 3),
    });
    expect(line.band).toEqual({ low: [4, 7, null], high: [6, 7, null] });
    expect(line.marks.map((mark) => mark.x)).toEqual([2, 3]);
    expect(line.last).toBeNaN();
    expect(readLine(line, 1.2, Infinity)).toEqual({
      x: 1,
      value: 5,
      bucket: { count: 3, nonfinite: 0, mean: 5, low: 4, high: 6, lowStep: 0, highStep: 1 },
    });
    expect(readLine(line, 3, Infinity)).toMatchObject({ x: 3, value: NaN, bucket: { nonfinite: 3, low: null } });
  });

  it("reads the nearest value, also a non-finite one", () => {
    const line = points([0, 1, 2], [5, -Infinity, 7]);
    expect(readLine(line, 0.9, Infinity)).toEqual({ x: 1, value: -Infinity, bucket: null });
    expect(readLine(line, null, 0)).toEqual({ x: 2, value: 7, bucket: null });
    expect(readLine(line, 9, 1)).toBeUndefined();
    expect(readLine(points([], []), null, 1)).toBeUndefined();
  });

  it("has no last value without values", () => {
    expect(points([], []).last).toBeNull();
  });
});

describe("align", () => {
  it("merges on one axis: null stays a gap, undefined means absent", () => {
    const merged = align([
      { x: [0, 2, 4], columns: [[1, null, 3]] },
      { x: [1, 2], columns: [[10, 20], [11, 21]] },
    ]);
    expect(merged.x).toEqual([0, 1, 2, 4]);
    expect(merged.columns).toEqual([
      [1, undefined, null, 3],
      [undefined, 10, 20, undefined],
      [undefined, 11, 21, undefined],
    ]);
  });

  it("keeps repeated positions and accepts an empty list", () => {
    expect(align([{ x: [1, 1], columns: [[5, 6]] }, { x: [1], columns: [[7]] }])).toEqual({
      x: [1, 1],
      columns: [[5, 6], [7, undefined]],
    });
    expect(align([])).toEqual({ x: [], columns: [] });
  });
});

describe("smooth", () => {
  it("keeps constants and gaps", () => {
    for (const value of smooth([3, 3, 3], 0.9)) expect(value).toBeCloseTo(3);
    expect(smooth([1, null, 1], 0.5)[1]).toBeNull();
    expect(smooth([1, 2], 0)).toEqual([1, 2]);
  });
});

describe("nearest", () => {
  it("skips positions without a value", () => {
    expect(nearest([0, 1, 2, 3], [5, undefined, null, 8], 1)).toBe(0);
    expect(nearest([0, 1, 2, 3], [5, undefined, null, 8], 2)).toBe(3);
    expect(nearest([0, 1], [null, undefined], 0)).toBe(-1);
    expect(nearest([], [], 0)).toBe(-1);
    expect(nearest([0, 100], [1, 2], 40, 5)).toBe(0);
    expect(nearest([0, 100], [1, 2], 104, 5)).toBe(1);
    expect(nearest([0, 100], [1, 2], 106, 5)).toBe(-1);
    expect(nearest([0, 100], [1, 2], -6, 5)).toBe(-1);
  });
});

describe("valueRange", () => {
  it("never returns an empty range and never overflows", () => {
    expect(valueRange([[3, 3]], false)).toEqual([2.7, 3.3]);
    expect(valueRange([[0]], false)).toEqual([-1, 1]);
    expect(valueRange([[null, undefined]], false)).toBeNull();
    expect(valueRange([[-Number.MAX_VALUE, Number.MAX_VALUE]], false)?.every(Number.isFinite)).toBe(true);
  });

  it("uses only positive values for a logarithmic axis", () => {
    expect(valueRange([[-5, 0, 1, 100]], true)?.[0]).toBeGreaterThan(0);
    expect(valueRange([[-5, 0]], true)).toBeNull();
  });
});
