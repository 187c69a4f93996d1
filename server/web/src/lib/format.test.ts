// Tests of formatted text at the limits of every unit.
import { describe, expect, it } from "vitest";
import { formatAgo, formatBytes, formatDuration, formatNumber, formatProblem, formatTime, formatTimeTicks, formatValue, plural } from "./format";

describe("formatNumber", () => {
  it.each([
    [0, "0"],
    [-0, "0"],
    [1234567, "1,234,567"],
    [0.1 + 0.2, "0.3"],
    [123456.789, "123,457"],
    [-1.5, "−1.5"],
    [0.00001234, "1.234e-5"],
    [1.5e300, "1.5e300"],
    [1e-300, "1e-300"],
    [2e15, "2e15"],
    [NaN, "NaN"],
    [Infinity, "∞"],
    [-Infinity, "−∞"],
    [null, "–"],
    [9007199254740993n, "9007199254740993"],
  ])("%s is %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});

it.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [45_123_456, "45 MB"],
  [999_600, "1.0 MB"],
  [-1, "–"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [0.85, "850ms"],
  [59.7, "1m 00s"],
  [185, "3m 05s"],
  [7620, "2h 07m"],
  [360_000, "4d 04h"],
  [null, "–"],
  [NaN, "–"],
])("%s seconds are %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

it.each([
  [10, "just now"],
  [-5, "just now"],
  [90, "2 min ago"],
  [7200, "2 h ago"],
  [86400 * 3, "3 d ago"],
  [86400 * 800, "2 y ago"],
])("%d seconds ago is %s", (age, text) => {
  expect(formatAgo(1e9 - age, 1e9)).toBe(text);
});

it("shows the day on a time axis once", () => {
  const noon = new Date(2024, 1, 28, 12).getTime() / 1000;
  expect(formatTimeTicks([noon, noon + 3600, noon + 43200], 3600)).toEqual(["02-28 12:00", "13:00", "02-29 00:00"]);
  expect(formatTimeTicks([noon], 86400)).toEqual(["2024-02-28"]);
  expect(formatTimeTicks([NaN], 60)).toEqual([""]);
});

describe("formatValue", () => {
  it.each([
    [{ _type: "number", value: "-Infinity" }, "−∞"],
    [{ _type: "image-file" }, "(image)"],
    [{ _type: "images/separated", count: 3 }, "(3 images)"],
    [{ _type: "table-file", nrows: 20, ncols: 4 }, "(table, 20 × 4)"],
    [{ _type: "object3D-file" }, "(3D object)"],
    [{ _type: "something-new" }, "(something-new)"],
    [[1, "a", 9007199254740993n], '[1,"a","9007199254740993"]'],
    [{}, "{}"],
    [true, "true"],
    [undefined, "–"],
    ["text", "text"],
  ])("case %#", (value, text) => {
    expect(formatValue(value)).toBe(text);
  });
});

it("forms plurals", () => {
  expect(plural(1, "run")).toBe("1 run");
  expect(plural(1000, "run")).toBe("1,000 runs");
});

it("formats the time of lost records and keeps other problems unchanged", () => {
  expect(formatProblem("2 records were lost at 1700000000: No space left on device")).toBe(
    `2 records were lost at ${formatTime(1700000000)}: No space left on device`,
  );
  const damaged = "journal a.journal is damaged at bytes 603 to 652: checksum mismatch";
  expect(formatProblem(damaged)).toBe(damaged);
});
