// @vitest-environment happy-dom
// Tests of the tree of keys: its lines, closed branches, the search, and long trees.
import { expect, it } from "vitest";
import type { JsonObject } from "../lib/json";
import { all, click, only, show, texts } from "../testing";
import KeyTree from "./KeyTree.svelte";

const VALUE: JsonObject = { model: { depth: 3, net: { width: 64 } }, lr: 0.1, list: [1, 2], empty: {} };
const tree = (value: JsonObject, searched = "") =>
  show(KeyTree, { title: "Config", value, searching: searched !== "", matches: (path: string) => path.includes(searched) });

it("shows branches with the number of their values", () => {
  tree(VALUE);
  expect(texts("li .key")).toEqual(["model", "depth", "net", "width", "lr", "list", "empty"]);
  expect(texts("li .count")).toEqual(["2", "1"]);
  expect(texts("li .value")).toEqual(["3", "64", "0.1", "[1,2]", "{}"]);
});

it("closes a branch and what is below", async () => {
  tree(VALUE);
  const button = await only("[aria-label=model]");
  click(button);
  expect(button.getAttribute("aria-expanded")).toBe("false");
  expect(texts("li .key")).toEqual(["model", "lr", "list", "empty"]);
  click(button);
  expect(all("li")).toHaveLength(7);
});

it("shows only matching values with their branches during a search", () => {
  tree(VALUE, "width");
  expect(texts("li .key")).toEqual(["model", "net", "width"]);
  expect(texts("h3 span:not(.sr)")[0]).toMatch(/^1 of 5/);
});

it("reports that no key matches, and that a tree is empty", () => {
  tree(VALUE, "absent");
  expect(texts("p")).toEqual(["No key matches."]);
  tree({});
  expect(texts("p")).toEqual(["No key matches.", "Empty."]);
});

it("shows a long tree in parts, and a value as text", async () => {
  tree({ ...Object.fromEntries(Array.from({ length: 320 }, (_, at) => [`key${at}`, at])), html: "<img src=x>" });
  expect(all("li")).toHaveLength(300);
  click(await only("button.more"));
  expect(all("button.more")).toEqual([]);
  expect(all("li")).toHaveLength(321);
  expect(all("img")).toEqual([]);
});
