// Tests of addresses: to a route and back.
import { describe, expect, it } from "vitest";
import { artifactRoute, changeRoute, formatRoute, parseRoute, projectRoute, type Route, type Shown } from "./route";

const roundTrip = (route: Route): Route => {
  const url = new URL(formatRoute(route), "http://host");
  return parseRoute(url.pathname, url.search);
};

describe("routes", () => {
  it("lead to the source of a link", () => {
    const source = artifactRoute("team/demo/model:v3");
    expect(source).toMatchObject({ entity: "team", project: "demo", tab: "artifacts", artifact: "model:v3", run: null });
    expect(source && roundTrip(source)).toEqual(source);
    expect(["model:v3", "a/b/", "a/b/c/d:v0", ""].map(artifactRoute)).toEqual([null, null, null, null]);
  });

  it("keep all values of a route", () => {
    const full: Route = {
      ...projectRoute("team a/b", "naïve?&#"),
      run: "r/1 %",
      writer: "0123456789abcdef0123456789abcdef",
      tab: "tables",
      order: "summary.val/loss",
      search: "a&b=c",
      group: ["config.lr", "a,b%2C"],
      shown: ["x", "y,z"],
      hidden: ["h"],
      pinned: ["p", "q"],
      baseline: "b",
      color: "config.optimizer",
      compare: ["x", "y"],
      axis: "trainer/global_step",
      zoom: [-1.5, 2e9],
      metric: "^loss|acc$",
      zoomAxis: "epoch",
      smoothing: "ema:0.6",
      logX: true,
      logY: true,
      clip: true,
      panel: "val/loss",
      embed: true,
      view: "v1",
      step: 12,
      path: "a/b, c.txt",
      artifact: "model-x:v3",
      section: "difference",
      against: "other:v1",
    };
    expect(roundTrip(full)).toEqual(full);
    for (const shown of [[], "all"] as const) {
      expect(roundTrip({ ...full, shown: shown as Shown })).toEqual({ ...full, shown });
    }
    expect(roundTrip({ page: "projects", entity: null })).toEqual({ page: "projects", entity: null });
    expect(roundTrip({ page: "projects", entity: "team" })).toEqual({ page: "projects", entity: "team" });
  });

  it("lead to the pages of people", () => {
    const pages: Route[] = [
      { page: "account" },
      { page: "users" },
      { page: "audit" },
      { page: "status" },
      { page: "members", entity: "team a/b", project: "" },
      { page: "members", entity: "account", project: "naïve?&#" },
    ];
    expect(pages.map(roundTrip)).toEqual(pages);
    expect(formatRoute({ page: "members", entity: "team", project: "vision" })).toBe("/team/vision/:members");
    expect(parseRoute("/account", "")).toEqual({ page: "projects", entity: "account" });
    expect(parseRoute("/:other", "")).toEqual({ page: "projects", entity: ":other" });
    expect(parseRoute("/a/b/c/:members", "")).toMatchObject({ page: "unknown" });
  });

  it("omit defaults", () => {
    expect(formatRoute(projectRoute("team", "vision"))).toBe("/team/vision");
  });

  it("use defaults for invalid parts", () => {
    expect(parseRoute("/t/p", "?tab=nope&zoom=5~1&order=&run=")).toEqual(projectRoute("t", "p"));
    expect(parseRoute("/t/p", "?zoom=~3")).toMatchObject({ zoom: null });
    expect(parseRoute("/%E0%A4%A/p", "")).toMatchObject({ entity: "%E0%A4%A" });
    expect(parseRoute("/a/b/c", "")).toEqual({ page: "unknown", path: "/a/b/c" });
  });
});

it("drops what belongs to one artifact when the artifact changes", () => {
  const route = { ...projectRoute("t", "p"), artifact: "m:v1", section: "difference" as const, against: "v0", path: "a.txt" };
  expect(changeRoute(route, { metric: "x" }).path).toBe("a.txt");
  expect(changeRoute(route, { artifact: "m:v2" })).toMatchObject({ section: "files", against: null, path: "" });
  expect(changeRoute(route, { artifact: "m:v2", section: "lineage" }).section).toBe("lineage");
  expect(parseRoute("/t/p", "?section=nope")).toMatchObject({ section: "files" });
});

it("drops the writer when the run changes", () => {
  const route = { ...projectRoute("t", "p"), run: "r", writer: "0".repeat(32) };
  expect(changeRoute(route, { tab: "images" }).writer).toBe(route.writer);
  expect(changeRoute(route, { run: "r", metric: "x" }).writer).toBe(route.writer);
  expect(changeRoute(route, { run: "other" })).toMatchObject({ run: "other", writer: null });
  expect(changeRoute(route, { run: null }).writer).toBeNull();
});
