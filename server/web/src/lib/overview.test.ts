import { expect, test } from "vitest";
import { dayBars, describeDays, orderedStates } from "./overview";

test("a day with runs has a visible bar with its date", () => {
  const bars = dayBars(1_700_006_400, [0, 1, 100]); // 2023-11-15 in UTC
  expect(bars.map((bar) => bar.title)).toEqual(["2023-11-15: 0 runs", "2023-11-16: 1 run", "2023-11-17: 100 runs"]);
  expect(bars[0]?.height).toBe(0);
  expect(bars[1]?.height).toBeGreaterThan(0.1);
  expect(bars[2]?.height).toBe(1);
});

test("a strip has a description", () => {
  expect(describeDays([0, 0])).toBe("no runs in 2 days");
  expect(describeDays([1, 0, 3])).toBe("4 runs on 2 of the last 3 days");
});

test("states that need attention come first, and absent ones are left out", () => {
  const found = orderedStates({ finished: 3, other: 1, crashed: 2, failed: 0, preempting: 1, running: 1 });
  expect(found.map(({ state }) => state)).toEqual(["running", "preempting", "crashed", "finished", "other"]);
});
