// Tests of saved views: what is in the address wins.
import { expect, it } from "vitest";
import { parseRoute, projectRoute, type ProjectRoute } from "./route";
import { isSameView, plainParts, readView, viewChange, viewQuery } from "./saved-views";

const at = (query: string) => parseRoute("/e/p", query) as ProjectRoute;

it("stores the parts that belong to a view", () => {
  const route = at("q=state%3Afailed&group=config.opt&smooth=ema%3A0.6&zoom=1~2&panel=loss&logy=1&view=v&run=r");
  expect(viewQuery(route)).toBe("q=state%3Afailed&group=config.opt&smooth=ema%3A0.6&logy=1");
  expect(viewQuery(projectRoute("e", "p"))).toBe("");
});

it("is changed by the address", () => {
  const saved = "q=a&smooth=ema%3A0.6&show=*&group=config.opt";
  expect(viewChange(at("view=v"), saved)).toEqual({ search: "a", smoothing: "ema:0.6", shown: "all", group: ["config.opt"] });
  expect(viewChange(at("view=v&smooth=ema%3A0.9&q=b"), saved)).toEqual({ shown: "all", group: ["config.opt"] });
  expect(viewChange({ ...at(saved), ...plainParts() }, "logy=1")).toEqual({ logY: true });
  expect(viewChange(at(saved), "")).toEqual({});
});

it("reads any document", () => {
  expect(readView(null)).toEqual({ layout: {}, query: "" });
  expect(readView({ layout: { manual: true }, query: 3 })).toEqual({ layout: { manual: true }, query: "" });
  expect(isSameView({ layout: { manual: true, order: ["a"] }, query: "" }, { query: "", layout: { order: ["a"], manual: true } })).toBe(true);
  expect(isSameView({ layout: {}, query: "" }, { layout: {}, query: "q=a" })).toBe(false);
});
