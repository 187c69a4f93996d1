// @vitest-environment happy-dom
// Tests of the messages: undo, failures, and how long they stay.
import { flushSync } from "svelte";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { change, dismiss, notify, toasts } from "../state/toasts.svelte";
import { all, click, eventually, only, show, texts } from "../testing";
import Toasts from "./Toasts.svelte";

beforeEach(() => show(Toasts, {}));
afterEach(() => {
  vi.useRealTimers();
  for (const { id } of toasts.list) dismiss(id);
});

it("takes a change back once", async () => {
  const undo = vi.fn(() => Promise.resolve());
  expect(await change("Deleted 2 runs", () => Promise.resolve(), undo)).toBe(true);
  click((await only(".toasts button.link")) as HTMLElement);
  expect(undo).toHaveBeenCalledOnce();
  await eventually(() => {
    expect(texts("[data-testid=toast] > span")).toEqual(["Undone"]);
  });
  expect(all(".toasts button.link")).toEqual([]);
});

it("shows the error of a change that failed, until it is closed", async () => {
  vi.useFakeTimers();
  expect(await change("Saved", () => Promise.reject(new Error("The disk is full.")))).toBe(false);
  notify("Something else");
  vi.advanceTimersByTime(60_000);
  flushSync();
  expect(texts("[data-testid=toast] > span")).toEqual(["The disk is full."]);
  expect(all("[data-testid=toast].failed")).toHaveLength(1);
  click(all("[aria-label='Close the message']")[0] as HTMLElement);
  expect(all("[data-testid=toast]")).toEqual([]);
});

it("keeps the newest four messages, in a region that screen readers announce", () => {
  for (let at = 0; at < 6; at++) notify(`message ${at}`);
  flushSync();
  expect(texts("[role=status] [data-testid=toast] > span")).toEqual([2, 3, 4, 5].map((at) => `message ${at}`));
});
