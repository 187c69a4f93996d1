// The objects that all views share: API client, activity counter, settings, chart loader.
import { createActivity } from "../lib/activity";
import { createApi } from "../lib/api";
import { createChartLoader } from "../lib/chart-loader";
import { createSettings } from "../lib/storage";
import { root } from "./root";

/** A frame tells observers what is in view after it has called the functions that wait for it. */
export function nextFrames(): Promise<void> {
  if (document.hidden) return Promise.resolve(); // no frames are drawn
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
}

export const activity = createActivity(nextFrames);

export const settings = createSettings(() => window.localStorage);

let signedOut: () => void = () => undefined;

/** Sets the function to call when the server requires a key. */
export function onSignedOut(handler: () => void): void {
  signedOut = handler;
}

export const api = createApi({
  root,
  fetch: (url, init) => window.fetch(url, init),
  begin: activity.begin,
  onSignedOut: () => signedOut(),
});

export const charts = createChartLoader({
  fetch: (call) => api.lines(call),
  defer: (work) => void activity.later(work, 16),
});

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
