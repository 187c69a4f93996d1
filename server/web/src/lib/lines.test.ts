// Tests of lines: order, gaps, marks, bands, readings, continuing a line with new values.
import { describe, expect, it } from "vitest";
import { aggregate, appendLine, bucketAt, continueFrom, firstFrom, nearest, toLine, type Line } from "./lines";

const column = (...values: number[]) => Float64Array.from(values);
const common = { key: "k", run: "r", axis: "_step" };
const points = (x: number[], y: number[]) => toLine({ ...common, kind: "points", x: column(...x), y: column(...y) });
const buckets = (x: number[], last: number[], change: Partial<Record<"nonfinite" | "mean", number[]>> = {}) =>
  toLine({
    ...common,
    kind: "buckets",
    x: column(...x),
    last: column(...last),
    min: column(...last.map((value) => value - 1)),
    max: column(...last.map((value) => value + 1)),
    mean: column(...(change.mean ?? last)),
    count: column(...x.map(() => 3)),
    minStep: column(...x.map(() => 0)),
    maxStep: column(...x.map(() => 1)),
    nonfinite: column(...(change.nonfinite ?? x.map(() => 0))),
  });

describe("toLine", () => {
  it("marks non-finite values and leaves a gap there", () => {
    const line = points([0, 1, 2, 3], [1, NaN, Infinity, 4]);
    expect(line.y).toEqual(column(1, NaN, NaN, 4));
    expect(line.marks).toEqual([
      { x: 1, value: NaN },
      { x: 2, value: Infinity },
    ]);
    expect(line.last).toBe(4);
  });

  it("sorts by x, keeps the order of equal positions, and drops non-finite positions", () => {
    const line = points([5, 1, 1, NaN], [50, 10, 11, 99]);
    expect(line.x).toEqual(column(1, 1, 5));
    expect(line.y).toEqual(column(10, 11, 50));
  });

  it("uses the range of buckets as the band", () => {
    const line = buckets([1, 2, 3], [5, 7, NaN], { nonfinite: [0, 1, 3] });
    expect(line.band).toEqual({ low: column(4, 6, NaN), high: column(6, 8, NaN) });
    expect(line.marks.map((mark) => mark.x)).toEqual([2, 3]);
    expect(line.last).toBeNaN();
    expect(bucketAt(line, 0)).toEqual({ count: 3, nonfinite: 0, mean: 5, low: 4, high: 6, lowStep: 0, highStep: 1 });
    expect(bucketAt(line, 2)).toMatchObject({ nonfinite: 3, low: null });
  });

  it("has no last value without values", () => {
    expect(points([], []).last).toBeNull();
  });

  it("draws another value of each bucket, and single values as they are", () => {
    const line = buckets([1, 2], [5, 6], { mean: [4.5, 5.5] });
    expect(aggregate(line, "mean").y).toEqual(column(4.5, 5.5));
    expect(aggregate(line, "min").y).toEqual(column(4, 5));
    expect(aggregate(line, "max").y).toEqual(column(6, 7));
    expect(aggregate(line, "max")).toBe(aggregate(line, "max"));
    const single = points([1], [2]);
    expect(aggregate(single, "max")).toBe(single);
  });
});

it("finds positions by bisection", () => {
  expect([-1, 0, 0.4, 0.6, 9].map((x) => nearest([0, 1, 2], x))).toEqual([0, 0, 0, 1, 2]);
  expect(nearest([], 0)).toBe(-1);
  expect(firstFrom([0, 1, 1, 2], 1)).toBe(1);
});

describe("appendLine", () => {
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const part = (from: number, to: number) => points(range(from, to), range(from, to).map((x) => x * 10));

  it("continues single values, and replaces the newest one", () => {
    const line = part(0, 20);
    const since = continueFrom(line) as number;
    expect(since).toBe(11);
    const more = part(11, 25);
    more.y[8] = 7; // step 19 got another value
    const joined = appendLine(line, more, since) as Line;
    expect(joined.x).toEqual(column(...range(0, 25)));
    expect([joined.y[18], joined.y[19], joined.y[24], joined.last]).toEqual([180, 7, 240, 240]);
    expect(continueFrom(part(0, 5))).toBeNull();
  });

  it("refuses values that differ from the old ones, as after a resume from an earlier step", () => {
    const line = part(0, 20);
    expect(appendLine(line, points([], []), 11)).toBeNull();
    const other = part(11, 30);
    other.y[0] = -1;
    expect(appendLine(line, other, 11)).toBeNull();
    expect(appendLine(line, buckets([11, 20], [110, 200]), 11)).toBeNull();
  });

  it("continues buckets with single values", () => {
    const line = buckets([10, 20], [1, 2]);
    expect(continueFrom(line)).toBe(20);
    const joined = appendLine(line, points([20, 21, 22], [2, 5, NaN]), 20) as Line;
    expect(joined.x).toEqual(column(10, 20, 21, 22));
    expect(joined.band?.low).toEqual(column(0, 1, 5, NaN));
    expect(joined.buckets).toMatchObject({ count: column(3, 3, 1, 1), nonfinite: column(0, 0, 0, 1) });
    expect(joined.marks).toEqual([{ x: 22, value: NaN }]);
    expect(appendLine(line, points([21], [5]), 20)).toBeNull();
  });
});
