// The few objects that every view shares: client, activity count, settings, chart loader.
import { createActivity } from "../lib/activity";
import { createApi } from "../lib/api";
import { createChartLoader } from "../lib/chart-loader";
import { createSettings } from "../lib/storage";

/** About the width of a chart in device pixels; more points than that are bucketed by the server. */
const CHART_POINTS = 1000;

export const activity = createActivity();
export const settings = createSettings(() => window.localStorage);

let signedOut: () => void = () => undefined;

/** Says what to do when the server wants a key. */
export function onSignedOut(handler: () => void): void {
  signedOut = handler;
}

export const api = createApi({
  fetch: (url, init) => window.fetch(url, init),
  begin: activity.begin,
  onSignedOut: () => signedOut(),
});

export const charts = createChartLoader({
  fetch: ({ entity, project, run, keys, x, segment, zoom }) =>
    api.chart(entity, project, run, {
      keys,
      x,
      points: CHART_POINTS,
      min: zoom?.[0],
      max: zoom?.[1],
      segment: segment ?? undefined,
    }),
  defer: (work) => window.setTimeout(work, 16),
});

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
