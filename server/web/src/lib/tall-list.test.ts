// Tests of lists that are taller than a browser can display.
import { expect, it } from "vitest";
import { tallList } from "./tall-list";
import { visibleWindow } from "./window";

it("leaves short lists as they are", () => {
  expect(tallList(700, 500, 18, 1000)).toEqual({ height: 18_000, top: 700 });
});

it("reaches the first and the last of ten million rows", () => {
  const total = 10_000_000;
  const rowsAt = (scrollTop: number) => {
    const { top } = tallList(scrollTop, 540, 18, total);
    return visibleWindow(top, 540, 18, total, 0);
  };
  const { height } = tallList(0, 540, 18, total);
  expect(height).toBeLessThan(17_000_000);
  expect(rowsAt(0).start).toBe(0);
  expect(rowsAt(height - 540)).toEqual({ start: total - 30, end: total });
  expect(rowsAt((height - 540) / 2).start).toBeCloseTo(total / 2, -2);
});
