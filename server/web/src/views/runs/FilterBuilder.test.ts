// @vitest-environment happy-dom
// Tests of the filter builder: rows and the text of the query follow each other.
import { expect, it, vi } from "vitest";
import { RunFields } from "../../state/run-fields.svelte";
import { all, choose, click, show, type } from "../../testing";
import FilterBuilder from "./FilterBuilder.svelte";

function open(query: string) {
  const onchange = vi.fn();
  const fields = new RunFields();
  fields.list = [{ field: "config.lr", numbers: true, texts: false, min: 0.001, max: 0.1, values: [], more: false, media: null }];
  show(FilterBuilder, { query, fields, onchange });
  return onchange;
}

const rows = () => all("[data-testid=filter-row]");
const input = (row: number, label: string) => rows()[row]?.querySelector(`[aria-label="${label}"]`) as HTMLInputElement;
const operator = (row: number) => input(row, "Operator") as unknown as HTMLSelectElement;
const newest = (onchange: ReturnType<typeof vi.fn>) => onchange.mock.calls.at(-1)?.[0];

it("shows each test of the query in parts, and other terms as text", () => {
  open('state:failed -tag:old config.lr>0.01 (a OR b) "two words"');
  expect(rows()).toHaveLength(5);
  expect([input(0, "Field").value, input(0, "Operator").value, input(0, "Value").value]).toEqual(["state", ":", "failed"]);
  expect([input(2, "Field").value, input(2, "Operator").value, input(2, "Value").value]).toEqual(["config.lr", ">", "0.01"]);
  expect(input(3, "Text of the filter").value).toBe("(a OR b)");
});

it("writes a new test only when it is complete", () => {
  const onchange = open("state:failed");
  click(all("button.small")[0] as HTMLElement);
  type(input(1, "Field"), "config.lr", "change");
  expect(onchange).not.toHaveBeenCalled();
  type(input(1, "Value"), "0.01", "change");
  expect(newest(onchange)).toBe("state:failed config.lr:0.01");
  expect(input(1, "Field").value).toBe("config.lr");
  choose(operator(1), "<=");
  expect(newest(onchange)).toBe("state:failed config.lr<=0.01");
});

it("needs no value for a field that exists, quotes texts with spaces, and removes rows", () => {
  const onchange = open("");
  click(all("button.small")[0] as HTMLElement);
  type(input(0, "Field"), "config.lr", "change");
  choose(operator(0), "has");
  expect(newest(onchange)).toBe("has:config.lr");
  expect(input(0, "Value")).toBeNull();
  click(all("[aria-label='Remove the filter']")[0] as HTMLElement);
  expect(newest(onchange)).toBe("");
  click(all("button.small")[0] as HTMLElement);
  type(input(0, "Field"), "name", "change");
  type(input(0, "Value"), "two words", "change");
  expect(newest(onchange)).toBe('name:"two words"');
  click(all("[aria-label='Remove the filter']")[0] as HTMLElement);
  expect(newest(onchange)).toBe("");
  expect(rows()).toEqual([]);
});
