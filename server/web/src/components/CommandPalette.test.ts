// @vitest-environment happy-dom
// Tests of the command palette: what it finds, how keys move in it, and what a choice does.
import { beforeEach, expect, it, vi } from "vitest";
import { projectRoute } from "../lib/route";
import { go, nav } from "../state/nav.svelte";
import { overlay } from "../state/overlay.svelte";
import { all, click, eventually, only, press, show, texts, type } from "../testing";
import CommandPalette from "./CommandPalette.svelte";

const RUN = { id: "r1", name: "vit-large", state: "finished" };
const FIELDS = [
  { field: "summary.val/loss", numbers: true },
  { field: "summary._runtime", numbers: true },
  { field: "config.lr", numbers: true },
];
const asked: string[] = [];

function answer(path: string): unknown {
  if (path.endsWith("/fields")) return { fields: FIELDS, more: false };
  if (path.endsWith("/runs")) return { runs: [RUN], total: 1 };
  if (path.endsWith("/collections")) return { collections: [{ name: "model", type: "model", latest: "v3" }] };
  return { projects: [{ entity: "team", name: "other" }] };
}

beforeEach(async () => {
  asked.length = 0;
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(url);
    return Promise.resolve(new Response(JSON.stringify(answer(new URL(url, "http://localhost").pathname))));
  });
  go(projectRoute("team", "vision"));
  overlay.open("palette");
  show(CommandPalette, {});
  (await only("[role=combobox]")).focus();
});

const field = () => document.querySelector("[role=combobox]") as HTMLInputElement;
const current = () => all("[role=option][aria-selected=true]");

it("finds runs, metrics, artifacts and projects, but no internal fields", async () => {
  type(field(), "o");
  await eventually(() => expect(texts(".entry .title")).toEqual(expect.arrayContaining(["team/other", "model", "val/loss"])));
  expect(texts(".entry .title")).not.toContain("_runtime");
  type(field(), "vit lar");
  await eventually(() => expect(asked.some((url) => url.includes("search=vit&"))).toBe(true));
  await eventually(() => expect(texts(".entry .title")).toEqual(["vit-large"]));
  expect(press("Enter")).toBe(true);
  expect(nav.route).toMatchObject({ page: "project", project: "vision", run: "r1" });
  expect(overlay.current).toBeNull();
});

it("moves through the entries in a circle, and names the current one for screen readers", async () => {
  await eventually(() => expect(all("[role=option]").length).toBeGreaterThan(2));
  const count = all("[role=option]").length;
  const first = current()[0];
  press("ArrowUp");
  expect(current()[0]).toBe(all("[role=option]")[count - 1]);
  press("ArrowDown");
  expect(current()).toEqual([first]);
  expect(field().getAttribute("aria-activedescendant")).toBe(first?.id);
  press("PageDown");
  press("PageDown");
  expect(current()[0]).toBe(all("[role=option]")[count - 1]);
});

it("filters the charts by a whole metric name", async () => {
  type(field(), "val/loss");
  await eventually(() => expect(texts(".entry .title")).toEqual(["val/loss"]));
  click(current()[0] as HTMLElement);
  expect(nav.route).toMatchObject({ tab: "charts", metric: "^val/loss$" });
});

it("reports that nothing matches", async () => {
  type(field(), "absent");
  await eventually(() => expect(texts("[role=status]")).toContain("Nothing matches."));
  press("Enter");
  expect(overlay.current).toBe("palette");
});
