// Tests of ranges in queries.
import { expect, it } from "vitest";
import { readRange, writeField, writeRange } from "./query-ranges";

it("adds, replaces and removes a range", () => {
  const once = writeRange('state:finished "a b"', "config.lr", { low: 0.01, high: 0.1 });
  expect(once).toBe('state:finished "a b" config.lr>=0.01 config.lr<=0.1');
  expect(readRange(once, "config.lr")).toEqual({ low: 0.01, high: 0.1 });
  const again = writeRange(once, "config.lr", { low: null, high: 1e-7 });
  expect(again).toBe('state:finished "a b" config.lr<=1e-7');
  expect(writeRange(again, "config.lr", null)).toBe('state:finished "a b"');
  expect(readRange(again, "config.l")).toBeNull();
  expect(readRange("", "config.lr")).toBeNull();
});

it("quotes keys, and keeps the terms of other fields", () => {
  expect(writeField('config.my "key"')).toBe('config."my \\"key\\""');
  const query = writeRange("config.lr>=1", "summary.val loss", { low: -2, high: null });
  expect(query).toBe('config.lr>=1 summary."val loss">=-2');
  expect(readRange(query, "summary.val loss")).toEqual({ low: -2, high: null });
  expect(writeField("last_step")).toBe("last_step");
});

it("encloses a query with alternatives", () => {
  expect(writeRange("a OR b", "config.lr", { low: 1, high: null })).toBe("(a OR b) config.lr>=1");
  expect(writeRange("(a OR b)", "config.lr", { low: 1, high: null })).toBe("(a OR b) config.lr>=1");
  expect(writeRange("(a) OR (b)", "config.lr", { low: 1, high: null })).toBe("((a) OR (b)) config.lr>=1");
  expect(writeRange("a OR b", "config.lr", null)).toBe("a OR b");
});
