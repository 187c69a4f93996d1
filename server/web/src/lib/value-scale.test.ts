// Tests of scales over values of runs.
import { expect, it } from "vitest";
import { cellOf, roundEnd, valueScale } from "./value-scale";

it("places numbers, and finds them back", () => {
  const scale = valueScale([0, 10, null], 0, 100);
  expect([scale.place(5), scale.place(null), scale.place("x")]).toEqual([50, null, null]);
  expect(scale.value(25)).toBe(2.5);
  expect(scale.ticks[0]).toEqual({ at: 0, text: "0" });
  const log = valueScale([0.001, 1, -3], 100, 0, { log: true });
  expect(log.place(0.001)).toBeCloseTo(100);
  expect(log.place(-3)).toBeNull();
  expect(log.value(0)).toBeCloseTo(1);
  expect(valueScale([1, 2], 0, 10, { range: [0, null] }).place(2)).toBe(10);
});

it("has a range for every input", () => {
  for (const values of [[], [3], [0], [-5], [null]]) expect(Number.isFinite(valueScale(values, 0, 10).place(3))).toBe(true);
  expect(valueScale([-1], 0, 10, { log: true }).log).toBe(false);
});

it("places names side by side, numbers between them as texts", () => {
  const scale = valueScale(["b10", "b9", 3], 0, 90);
  expect(scale.names).toEqual(["3", "b9", "b10"]);
  expect([scale.place("b9"), scale.place(3), scale.place("none")]).toEqual([45, 15, null]);
});

it("reads cells, and rounds ends outwards", () => {
  expect([cellOf(true), cellOf([1]), cellOf({ _type: "number", value: "NaN" }), cellOf(undefined), cellOf("a")]).toEqual(["true", "[1]", null, null, "a"]);
  expect([roundEnd(0.012345, true), roundEnd(0.012345, false), roundEnd(-1234, true), roundEnd(0, true)]).toEqual([0.0124, 0.0123, -1230, 0]);
});
