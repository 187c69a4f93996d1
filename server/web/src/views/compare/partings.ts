// Finds the steps at which the curves of two runs part. Ranges are asked for again until they are exact.
import type { Api } from "../../lib/api";
import { partingOf, type Parting } from "../../lib/compare";

interface Place {
  entity: string;
  project: string;
  pair: [string, string];
  keys: string[];
}

const POINTS = 1000;
/** Each round divides the range by about `POINTS`: enough for 10^12 steps. */
const ROUNDS = 4;

/** Returns the step at which the two runs part, for each metric in which they do. */
export async function findPartings(api: Api, place: Place, signal: AbortSignal): Promise<Map<string, Parting>> {
  const found = await compareWithin(api, place, place.keys, {}, signal);
  const refined = await Promise.all(
    [...found].map(async ([key, coarse]): Promise<[string, Parting]> => {
      let parting = coarse;
      for (let round = 1; round < ROUNDS && parting.to !== null; round += 1) {
        const range = { ...(Number.isFinite(parting.x) ? { min: parting.x } : {}), max: parting.to };
        const finer = (await compareWithin(api, place, [key], range, signal)).get(key);
        if (finer === undefined) break;
        parting = finer;
      }
      return [key, parting];
    }),
  );
  return new Map(refined);
}

async function compareWithin(
  api: Api,
  { entity, project, pair }: Place,
  keys: string[],
  range: { min?: number; max?: number },
  signal: AbortSignal,
): Promise<Map<string, Parting>> {
  const { min = -Number.MAX_VALUE, max } = range;
  const zoom: [number, number] | null = max === undefined ? null : [min, max];
  const common = { x: "_step", segment: null, since: null, points: POINTS, steps: true };
  const lines = await api.lines({ entity, project, runs: pair, keys, zoom, ...common }, signal);
  const others = new Map(lines.filter(({ run }) => run === pair[1]).map((series) => [series.key, series]));
  const found = new Map<string, Parting>();
  for (const series of lines) {
    const other = series.run === pair[0] ? others.get(series.key) : undefined;
    const parting = other === undefined ? null : partingOf(series, other);
    if (parting !== null) found.set(series.key, parting);
  }
  return found;
}
