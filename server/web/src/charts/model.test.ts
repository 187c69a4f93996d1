// Tests of the chart model: roles of columns, dots, ranges.
import { expect, it } from "vitest";
import type { Line } from "../lib/lines";
import { buildModel, dotIndices, xRange, yRange, type ChartView } from "./model";

const view: ChartView = { axis: "_step", zoom: null, log: false, smoothing: 0 };
const style = { color: "#000000", dash: [] };
const line = (change: Partial<Line>): Line => ({ x: [0, 1, 2], y: [1, 2, 3], band: null, buckets: null, marks: [], last: 3, ...change });
const named = (item: Line, id = "a") => ({ id, name: id, style, line: item });

it("draws band, ghost and line, and distinguishes a new shape from new values", () => {
  const band = { low: [0, 1, 2], high: [2, 3, 4] };
  const model = buildModel([named(line({ band }))], { ...view, smoothing: 0.5 });
  expect(model.meta.map((column) => column.role)).toEqual(["low", "high", "ghost", "main"]);
  const plain = buildModel([named(line({}))], view);
  expect(plain.shape).toBe(buildModel([named(line({ y: [9, 9, 9] }))], view).shape);
  expect(plain.shape).not.toBe(model.shape);
});

it("omits values without a logarithm", () => {
  expect(buildModel([named(line({ y: [-1, 0, 5] }))], { ...view, log: true }).columns[0]).toEqual([null, null, 5]);
});

it("shows a dot for an isolated value", () => {
  expect(dotIndices([5], 40)).toEqual([0]);
  expect(dotIndices([1, 2, null, 4, undefined, null, 6, undefined, 7], 2)).toEqual([3]);
  expect(dotIndices([], 40)).toEqual([]);
});

it("returns a range for every input", () => {
  expect(xRange([7], null, "_step")).toEqual([6.5, 7.5]);
  expect(xRange([], null, "_step")).toEqual([0, 1]);
  expect(xRange([0, 9], [2, 3], "_step")).toEqual([2, 3]);
  const model = buildModel([named(line({}))], view);
  expect(yRange(model, 1, 1, false)).toEqual([1.8, 2.2]);
  expect(yRange(buildModel([], view), 0, 1, true)).toEqual([0.1, 10]);
});
