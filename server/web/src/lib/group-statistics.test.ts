// Tests of groups of runs.
import { describe, expect, it } from "vitest";
import { columnsWithStatistics, groupCell, groupOrder, groupParameters, groupQuery, groupTitle, statisticsText } from "./group-statistics";

const statistics = { n: 4, nonfinite: 0, missing: 1, mean: 0.5, std: 0.1, sem: 0.05, ci_low: 0.34, ci_high: 0.66, min: 0.4, max: 0.6 };

describe("the query of a group", () => {
  it("adds its values to the search", () => {
    expect(groupQuery("tag:a OR tag:b", { "config.lr": 0.1, group: null })).toBe("(tag:a OR tag:b) config.lr:0.1 group:null");
    expect(groupQuery("", { "config.opt": "1", "config.my key": true })).toBe('config.opt:"1" config."my key":true');
    expect(groupQuery("", { "config.x": { _type: "number", value: "-Infinity" } })).toBe("config.x:-inf");
  });

  it("does not exist for lists", () => {
    expect(groupQuery("", { "config.layers": [1, 2] })).toBeNull();
  });
});

it("asks for keys, or for all but some", () => {
  expect(groupParameters(["state", "config.lr"])).toEqual({ by: "state,config.lr" });
  expect(groupParameters(["-config.seed"])).toEqual({ all_but: "seed" });
});

it("orders groups by the mean of a metric", () => {
  const orders = [
    { column: "summary.loss", descending: true },
    { column: "created_at", descending: true },
    { column: "config.lr", descending: false },
  ];
  const columns = columnsWithStatistics(["summary.loss", "config.lr", "config.n", "config.opt", "duration", "state"], ["config.lr"], (id) => id !== "config.opt");
  expect(columns).toEqual(["summary.loss", "config.n", "duration"]);
  expect(groupOrder(orders, ["config.lr"], columns)).toBe("-summary.loss:mean,config.lr");
  expect(groupOrder([{ column: "duration", descending: true }, { column: "name", descending: false }], [], columns)).toBe("-summary._runtime:mean,runs");
});

it("shows no interval for fewer than three numbers", () => {
  expect(statisticsText(statistics)).toEqual({ mean: "0.5", interval: "± 0.16", range: "0.4 to 0.6", n: "n 4" });
  expect(statisticsText({ ...statistics, n: 2 })?.interval).toBe("");
  expect(statisticsText({ ...statistics, mean: 90, min: 60, max: 120 }, "auto", "duration")).toMatchObject({ mean: "1m 30s", range: "1m 00s to 2m 00s" });
  expect(statisticsText({ ...statistics, n: 0, mean: null, min: null, max: null })).toBeNull();
});

it("shows a group in cells", () => {
  const group = { values: { tag: "best", "config.lr": null }, metrics: { loss: statistics } } as never;
  expect(groupTitle(group, ["tag", "config.lr"])).toBe("tag: best, lr: none");
  expect(groupTitle(group, [])).toBe("all runs");
  expect(groupCell(group, "loss", "auto")).toEqual({ text: "0.5 ± 0.16", note: "n 4 · 0.4 to 0.6" });
  expect(groupCell(group, "tags", "auto").text).toBe("best");
  expect(groupCell(group, "config.lr", "auto").text).toBe("none");
  expect(groupCell(group, "state", "auto")).toEqual({ text: "", note: "" });
});
