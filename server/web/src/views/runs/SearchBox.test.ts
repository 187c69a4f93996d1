// @vitest-environment happy-dom
// Tests of the query box: completion by keys, when the query is applied, and errors.
import { beforeEach, expect, it, vi } from "vitest";
import { projectRoute, type ProjectRoute } from "../../lib/route";
import { RunFields } from "../../state/run-fields.svelte";
import { go, nav } from "../../state/nav.svelte";
import { all, click, eventually, only, press, show, texts, type } from "../../testing";
import SearchBox from "./SearchBox.svelte";

const field = (name: string, values: string[]) => ({ field: name, numbers: false, texts: true, min: null, max: null, values, more: false, media: null });

function open(search = "", error: string | null = null): HTMLInputElement {
  const route: ProjectRoute = { ...projectRoute("team", "vision"), search };
  go(route);
  const fields = new RunFields();
  fields.list = [field("config.opt", ["adam", "sgd"]), field("tag", ["best"])];
  show(SearchBox, { route, fields, error });
  const input = document.querySelector("input") as HTMLInputElement;
  input.focus();
  return input;
}

const applied = () => (nav.route.page === "project" ? nav.route.search : null);
/** Waits for the choices: the code for them is loaded at the first one. */
const offered = (...names: string[]) => eventually(() => expect(texts("[role=option] span")).toEqual(names));
beforeEach(() => void vi.stubGlobal("fetch", () => Promise.reject(new Error("no request is expected"))));

it("completes a field, an operator and a value by keys", async () => {
  const input = open();
  type(input, "config.o");
  await offered("config.opt");
  expect(input.getAttribute("aria-expanded")).toBe("true");
  press("ArrowDown");
  expect(document.getElementById(input.getAttribute("aria-activedescendant") ?? "")?.getAttribute("aria-selected")).toBe("true");
  press("Enter");
  expect(input.value).toBe("config.opt");
  await eventually(() => expect(all("[role=option]").length).toBeGreaterThan(1));
  press("ArrowDown");
  press("Tab");
  expect(input.value).toBe("config.opt:");
  await offered("adam", "sgd");
  press("ArrowUp"); // from no choice to the last one
  press("Enter");
  expect(input.value).toBe("config.opt:sgd ");
  expect(input.selectionStart).toBe(input.value.length);
  await eventually(() => expect(applied()).toBe("config.opt:sgd"));
});

it("applies the text by Enter without a choice; Escape first closes the list, then leaves the field", async () => {
  const input = open();
  type(input, "tag:be");
  press("Enter");
  expect(applied()).toBe("tag:be");
  expect(all("[role=option]")).toEqual([]);
  type(input, "tag:b");
  await offered("best");
  press("Escape");
  expect(all("[role=option]")).toEqual([]);
  expect(input.value).toBe("tag:b");
  expect(document.activeElement).toBe(input);
  press("Escape");
  expect(document.activeElement).not.toBe(input);
});

it("does not apply a query whose last part is not complete", async () => {
  const input = open("state:failed");
  expect(input.value).toBe("state:failed");
  type(input, "state:failed config.opt:");
  await new Promise((resolve) => setTimeout(resolve, 400)); // longer than the delay of the box
  expect(applied()).toBe("state:failed");
});

it("shows the error of the server and moves the caret to it", async () => {
  const input = open("tag:best stat:failed", "query, character 10: no field “stat”");
  expect(input.getAttribute("aria-invalid")).toBe("true");
  expect(texts("[role=alert]")[0]).toContain("no field “stat”");
  expect(document.getElementById(input.getAttribute("aria-describedby") ?? "")?.getAttribute("role")).toBe("alert");
  click(await only("[role=alert] button"));
  expect([input.selectionStart, input.selectionEnd]).toEqual([9, 10]);
});
