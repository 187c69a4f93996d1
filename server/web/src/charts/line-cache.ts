// The lines that were loaded: a chart that scrolls back into view is drawn at once, and a line of a run that is
// still logged is continued with its new values only.
import type { ChartSeries } from "../lib/chart-data";
import type { LineRequest } from "../lib/chart-loader";
import { appendLine, continueFrom, NO_LINE, toLine, type Line } from "../lib/lines";
import { charts } from "../state/services";

/** A line, and the name of its x axis; null if the run does not have the key. */
export interface LoadedLine {
  line: Line;
  axis: string | null;
}

interface Entry {
  version: number;
  loading: Promise<LoadedLine>;
  /** The newest answer. */
  known: LoadedLine | null;
}

/** The most values of lines that are kept, about 100 MB. */
const MOST_VALUES = 2_000_000;
/** Rows with these axes have an x of their own, and it grows. */
const GROWING = new Set(["_step", "_runtime", "_timestamp"]);
const cache = new Map<string, Entry>();
let values = 0;

const lengthOf = (entry: Entry): number => entry.known?.line.x.length ?? 0;

const asLoaded = (series: ChartSeries | null): LoadedLine =>
  series === null || series.x.length === 0 ? { line: NO_LINE, axis: null } : { line: toLine(series), axis: series.axis };

/**
 * Loads a line. `version` changes when the run has new values. If the run is still `running`, only its new values are
 * requested, as far as the old ones cannot have changed. A failed load is not cached, so it can be retried.
 */
export function loadLine(request: Omit<LineRequest, "since">, version: number, running: boolean): Promise<LoadedLine> {
  const id = JSON.stringify(request);
  const before = cache.get(id);
  if (before?.version === version) return before.loading;
  const whole = () => charts.load({ ...request, since: null }).then(asLoaded);
  const known = running && request.zoom === null && request.segment === null ? (before?.known ?? null) : null;
  const loading = known === null ? whole() : continued(request, known).then((found) => found ?? whole());
  const entry: Entry = { version, loading, known: before?.known ?? null };
  cache.delete(id);
  cache.set(id, entry);
  loading.then(
    (found) => {
      // A newer request may have taken the place.
      if (cache.get(id) !== entry) return;
      values += found.line.x.length - lengthOf(entry);
      entry.known = found;
      trim();
    },
    () => {
      if (cache.get(id) !== entry) return;
      cache.delete(id);
      values -= lengthOf(entry);
    },
  );
  return loading;
}

/** Loads the new values of a line; null if the whole line must be loaded. */
async function continued(request: Omit<LineRequest, "since">, { line, axis }: LoadedLine): Promise<LoadedLine | null> {
  const since = continueFrom(line);
  // A line with many new values is loaded again, so that it gets new buckets.
  if (since === null || axis === null || line.x.length >= 2 * request.points) return null;
  if (line.buckets !== null && !GROWING.has(axis)) return null;
  const series = await charts.load({ ...request, since });
  if (series === null || series.axis !== axis) return null;
  const joined = appendLine(line, toLine(series), since);
  return joined === null ? null : { line: joined, axis };
}

function trim(): void {
  for (const [id, entry] of cache) {
    if (values <= MOST_VALUES) return;
    cache.delete(id);
    values -= lengthOf(entry);
  }
}
