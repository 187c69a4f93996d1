// Tests of comparisons.
import { describe, expect, it } from "vitest";
import type { BucketSeries, PointSeries } from "./chart-data";
import { alignRows, factsOf, partingOf, settingsOf } from "./compare";

const points = (x: number[], y: number[]): PointSeries => ({
  ...{ key: "loss", run: "a", axis: "_step" },
  kind: "points",
  x: Float64Array.from(x),
  y: Float64Array.from(y),
});
const none = new Float64Array(0);
const buckets = (x: number[], y: number[]): BucketSeries => {
  const column = Float64Array.from(y);
  const count = column.map(() => 10);
  return { ...points(x, y), kind: "buckets", last: column, min: column, max: column, mean: column, count, nonfinite: none, minStep: none, maxStep: none };
};

describe("settings", () => {
  it("that differ come first, and a missing key differs from any value", () => {
    const rows = alignRows([
      [["lr", 0.1], ["seed", 1], ["same", [1, 2]]],
      [["lr", 0.1], ["same", [1, 2]]],
    ]);
    expect(rows.map(({ key, differs }) => [key, differs])).toEqual([["seed", true], ["lr", false], ["same", false]]);
    expect(rows[0]?.values).toEqual([1, undefined]);
  });

  it("are compared exactly", () => {
    const differs = (a: [string, string | number | bigint | boolean], b: typeof a) => alignRows([[a], [b]])[0]?.differs;
    expect(differs(["n", 2n ** 60n], ["n", 2n ** 60n + 1n])).toBe(true);
    expect(differs(["n", "1"], ["n", 1])).toBe(true);
    expect(differs(["n", true], ["n", true])).toBe(false);
  });

  it("leave out what the recorder adds", () => {
    expect(settingsOf({ _wandb: { a: 1 }, lr: 0.1, net: { depth: 3 } })).toEqual([["lr", 0.1], ["net.depth", 3]]);
  });

  it("sort facts by subject", () => {
    const facts = factsOf({ program: "train.py", git: { commit: "ab" }, gpu: "H200", disk: { "/": { used: 5 } }, startedAt: "now" }, ["numpy==2.1"]);
    expect(facts).toEqual({ code: [["program", "train.py"], ["git.commit", "ab"]], machine: [["gpu", "H200"]], packages: [["numpy", "2.1"]] });
    expect(factsOf(null, [])).toEqual({ code: [], machine: [], packages: [] });
  });
});

describe("curves", () => {
  it("part at the first common x with another value", () => {
    expect(partingOf(points([0, 1, 2, 3], [1, 2, 3, 4]), points([0, 2, 3], [1, 3, 5]))).toEqual({ x: 3, to: null });
    expect(partingOf(points([0, 1], [1, NaN]), points([0, 1], [1, NaN]))).toBeNull();
    expect(partingOf(points([0], [0.1 + 0.2]), points([0], [0.3]))).toBeNull();
    expect(partingOf(points([0, 1], [1, 2]), points([2, 3], [5, 6]))).toBeNull();
  });

  it("of buckets part in a range", () => {
    expect(partingOf(buckets([10, 20, 30], [1, 2, 3]), buckets([10, 20, 30], [1, 2, 4]))).toEqual({ x: 20, to: 30 });
    expect(partingOf(buckets([10], [1]), buckets([10], [2]))).toEqual({ x: -Infinity, to: 10 });
  });
});
