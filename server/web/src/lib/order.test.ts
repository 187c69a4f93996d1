// Tests of the order of the runs table.
import { expect, it } from "vitest";
import { nextOrder, parseOrders } from "./order";

it("sorts numbers in descending and names in ascending order first", () => {
  expect(nextOrder("-created_at", "name")).toBe("name");
  expect(nextOrder("name", "name")).toBe("-name");
  expect(nextOrder("name", "summary.loss")).toBe("-summary.loss");
  expect(nextOrder("-summary.loss", "summary.loss")).toBe("summary.loss");
});

it("adds, reverses and removes a further key", () => {
  expect(nextOrder("name", "summary.loss", true)).toBe("name,-summary.loss");
  expect(nextOrder("name,-summary.loss", "summary.loss", true)).toBe("name,summary.loss");
  expect(nextOrder("name,summary.loss", "summary.loss", true)).toBe("name");
  expect(nextOrder("-name", "name", true)).toBe("name");
});

it("keeps a comma within a key", () => {
  expect(parseOrders("-config.a,b,name")).toEqual([
    { column: "config.a,b", descending: true },
    { column: "name", descending: false },
  ]);
});
