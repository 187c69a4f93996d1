// Tests of groups of runs and of their curves.
import { expect, it } from "vitest";
import type { Json } from "./json";
import { curveLine } from "./curve-lines";
import { decodeCurves } from "./curves";
import { fieldsOf, groupRuns, readGrouping } from "./run-groups";

const ROWS: Record<string, Json>[] = [
  { id: "a", config: { opt: "adam", lr: 0.1, seed: 1, net: { depth: 2 }, _wandb: { t: 1 } }, "config.opt": "adam" },
  { id: "b", config: { opt: "adam", lr: 0.1, seed: 2, net: { depth: 2 } }, "config.opt": "adam" },
  { id: "c", config: { opt: "sgd", lr: 0.1, seed: 1, net: { depth: 2 } }, "config.opt": "sgd" },
  { id: "d", config: {} },
];

it("groups runs by fields", () => {
  const grouping = readGrouping(["config.opt"]);
  expect(fieldsOf(grouping)).toEqual(["id", "config.opt"]);
  expect(groupRuns(ROWS, grouping)).toEqual([
    { label: "opt=adam", ids: ["a", "b"] },
    { label: "opt=none", ids: ["d"] },
    { label: "opt=sgd", ids: ["c"] },
  ]);
  const numbers = [10, 9, true, 1].map((value, at) => ({ id: `r${at}`, "config.n": value }));
  expect(groupRuns(numbers, readGrouping(["config.n"])).map((group) => group.label)).toEqual(["n=1", "n=9", "n=10"]);
});

it("puts a run into the group of each of its tags", () => {
  const grouping = readGrouping(["tag"]);
  expect(fieldsOf(grouping)).toEqual(["id", "tags"]);
  const rows = [{ id: "a", tags: ["x", "y"] }, { id: "b", tags: ["y", "y"] }, { id: "c", tags: [] }];
  expect(groupRuns(rows, grouping)).toEqual([
    { label: "tag=none", ids: ["c"] },
    { label: "tag=x", ids: ["a"] },
    { label: "tag=y", ids: ["a", "b"] },
  ]);
});

it("groups runs by all settings but some, and names only what differs", () => {
  const grouping = readGrouping(["-config.seed"]);
  expect(fieldsOf(grouping)).toEqual(["id", "config"]);
  expect(groupRuns(ROWS.slice(0, 3), grouping)).toEqual([
    { label: "opt=adam", ids: ["a", "b"] },
    { label: "opt=sgd", ids: ["c"] },
  ]);
  expect(groupRuns(ROWS.slice(0, 2), grouping)).toEqual([{ label: "all runs", ids: ["a", "b"] }]);
});

function block(group: string, columns: Record<string, number[]>): Uint8Array {
  const names = Object.keys(columns);
  const length = columns["x"]?.length ?? 0;
  const offsets = Object.fromEntries(names.map((name, at) => [name, at * length * 8]));
  const series = [{ group, key: "loss", x: "_step", width: 0, runs: 2, length, offsets }];
  let text = JSON.stringify({ x: null, size: names.length * length * 8, series });
  text += " ".repeat((8 - ((4 + text.length) % 8)) % 8);
  const bytes = new Uint8Array(4 + text.length + names.length * length * 8);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(new TextEncoder().encode(text), 4);
  bytes.set(new Uint8Array(new Float64Array(Object.values(columns).flat()).buffer), 4 + text.length);
  return bytes;
}

it("decodes curves, and draws a band", () => {
  const columns = { x: [0, 1], n: [2, 1], mean: [5, 7], std: [1, NaN], stderr: [0.5, NaN], min: [4, 7], max: [6, NaN] };
  const bytes = [...block("adam", columns), ...block("sgd", columns)];
  const curves = decodeCurves(new Uint8Array(bytes).buffer);
  expect(curves.map(({ group, key, axis, runs }) => [group, key, axis, runs])).toEqual([["adam", "loss", "_step", 2], ["sgd", "loss", "_step", 2]]);
  const curve = curves[1] as (typeof curves)[0];
  expect([...curve.n]).toEqual([2, 1]);
  const bandOf = (band: "std" | "stderr" | "minmax") => {
    const { low, high } = curveLine(curve, band).band ?? { low: [], high: [] };
    return [[...low], [...high]];
  };
  expect(bandOf("std")).toEqual([[4, 7], [6, 7]]);
  expect(bandOf("stderr")).toEqual([[4.5, 7], [5.5, 7]]);
  expect(bandOf("minmax")).toEqual([[4, 7], [6, NaN]]);
  expect(curveLine(curve, "none")).toMatchObject({ band: null, last: 7 });
  expect(() => decodeCurves(new Uint8Array(bytes.slice(0, -8)).buffer)).toThrow("ends inside");
});
