// Tests of virtual rows and pages.
import { expect, it } from "vitest";
import { pagesOf, scrollToRow, visibleWindow } from "./window";

it("renders the visible rows and a few more", () => {
  expect(visibleWindow(0, 600, 30, 10_000, 5)).toEqual({ start: 0, end: 26 });
  expect(visibleWindow(3000, 600, 30, 10_000, 5)).toEqual({ start: 95, end: 126 });
  expect(visibleWindow(1e9, 600, 30, 100, 5)).toEqual({ start: 99, end: 100 });
  expect(visibleWindow(-50, 0, 30, 3, 5)).toEqual({ start: 0, end: 3 });
  expect(visibleWindow(0, 600, 30, 0)).toEqual({ start: 0, end: 0 });
});

it("renders few rows at every scroll position", () => {
  for (let top = 0; top < 300_000; top += 7919) {
    const { start, end } = visibleWindow(top, 900, 30, 10_000);
    expect(end - start).toBeLessThanOrEqual(47);
  }
});

it("returns the pages that cover a window", () => {
  expect(pagesOf({ start: 95, end: 126 }, 100)).toEqual([0, 1]);
  expect(pagesOf({ start: 100, end: 200 }, 100)).toEqual([1]);
  expect(pagesOf({ start: 0, end: 0 }, 100)).toEqual([]);
});

it("scrolls only as far as needed", () => {
  expect(scrollToRow(5, 0, 300, 30)).toBe(0);
  expect(scrollToRow(20, 0, 300, 30)).toBe(330);
  expect(scrollToRow(1, 300, 300, 30)).toBe(30);
});
