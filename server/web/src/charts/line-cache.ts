// A cache of loaded lines, so that a chart that scrolls back into view is drawn immediately.
import type { ChartSeries } from "../lib/chart-data";
import { toLine, type Line } from "../lib/lines";
import { charts } from "../state/services";
import type { ChartRequest } from "../lib/chart-loader";

const MOST = 600;
const cache = new Map<string, Promise<Line>>();

const EMPTY: ChartSeries = { key: "", kind: "points", x: new Float64Array(0), y: new Float64Array(0) };

/**
 * Loads a line. `version` changes when the run has new values. A failed load is not cached, so it can be
 * retried.
 */
export function loadLine(request: ChartRequest, version: number): Promise<Line> {
  const { entity, project, run, key, x, segment, zoom } = request;
  const id = JSON.stringify([entity, project, run, key, x, segment, zoom, version]);
  const known = cache.get(id);
  if (known !== undefined) return known;
  const line = charts.load(request).then((series) => toLine(series ?? EMPTY));
  cache.set(id, line);
  line.catch(() => cache.delete(id));
  if (cache.size > MOST) cache.delete(cache.keys().next().value as string);
  return line;
}
