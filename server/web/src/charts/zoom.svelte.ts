// The zoom that the charts share. While a person moves or scales a chart it changes in every frame; the address gets
// it when the movement rests, because a browser limits how often an address changes.
import { roundRange } from "../lib/ticks";
import { nav, patch } from "../state/nav.svelte";
import { activity } from "../state/services";
import type { ChartView, Range } from "./model";

const REST = 200; // milliseconds

let moving = $state.raw<{ axis: string; range: Range } | null>(null);
let stopWaiting = (): void => undefined;

/** Returns the view with the zoom of a movement that has not ended. */
export function movingView(view: ChartView, axis: string): ChartView {
  return moving === null || moving.axis !== axis ? view : { ...view, zoom: moving.range, zoomAxis: axis };
}

/** Sets the zoom of all charts with an axis; null shows everything. */
export function zoomTo(range: Range | null, axis: string): void {
  stopWaiting();
  moving = null;
  if (range === null && (nav.route.page !== "project" || nav.route.zoom === null)) return;
  patch({ zoom: range && roundRange(range), zoomAxis: range === null || axis === "_step" ? "" : axis }, true);
}

/** Sets the zoom for now. */
export function panTo(range: Range, axis: string): void {
  moving = { axis, range };
  stopWaiting();
  stopWaiting = activity.later(() => zoomTo(range, axis), REST);
}
