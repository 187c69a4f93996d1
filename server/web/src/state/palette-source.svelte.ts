// What the command palette finds on the server: projects, and the runs, metrics and artifacts of the open project.
import type { Answer, Schema } from "../lib/api";
import { createLatest } from "../lib/latest";
import { activity, api, messageOf } from "./services";

type Place = { entity: string; project: string };

/** Milliseconds without another key before the server is asked. */
const SETTLE = 120;
const MOST = 8;
/** Fields per answer; config and summary share them. */
const FIELDS = 100;

export interface PaletteSource {
  readonly projects: Schema<"ProjectInfo">[];
  readonly collections: Schema<"CollectionInfo">[];
  readonly runs: Schema<"RunInfo">[];
  /** Keys of the summary, which has each metric that was logged as a number. */
  readonly metrics: string[];
  readonly busy: boolean;
  readonly error: string | null;
  search: (text: string) => void;
  close: () => void;
}

export function createPaletteSource(place: Place | null): PaletteSource {
  let projects = $state.raw<Schema<"ProjectInfo">[]>([]);
  let collections = $state.raw<Schema<"CollectionInfo">[]>([]);
  let runs = $state.raw<Schema<"RunInfo">[]>([]);
  let metrics = $state.raw<string[]>([]);
  let busy = $state(false);
  let error = $state<string | null>(null);
  let stopWaiting = (): void => undefined;
  const stop = new AbortController();
  const latest = createLatest();
  const { signal } = stop;
  const fail = (problem: unknown) => {
    if (!signal.aborted) error = messageOf(problem);
  };
  const inProject = (name: string) => (place === null ? [] : ["projects", place.entity, place.project, name]);

  api.projects(signal).then((found) => (projects = found), fail);
  if (place !== null) {
    api
      .call<Answer<"list_collections">>(inProject("collections"), { signal })
      .then((found) => (collections = found.collections), fail);
  }

  async function ask(text: string): Promise<void> {
    busy = true;
    try {
      const found = await latest.run((signal) =>
        Promise.all([
          api.call<Schema<"RunPage">>(inProject("runs"), { params: { search: text, limit: MOST, order: "-created_at" }, signal }),
          api.call<Answer<"list_fields">>(inProject("fields"), { params: { search: text, values: 0, limit: FIELDS }, signal }),
        ]),
      );
      if (found === undefined) return;
      const [page, list] = found;
      runs = page.runs;
      metrics = list.fields
        .filter((each) => each.numbers && each.field.startsWith("summary.") && !each.field.startsWith("summary._"))
        .map((each) => each.field.slice("summary.".length));
      error = null;
    } catch (problem) {
      fail(problem);
    }
    busy = false;
  }

  return {
    get projects() {
      return projects;
    },
    get collections() {
      return collections;
    },
    get runs() {
      return runs;
    },
    get metrics() {
      return metrics;
    },
    get busy() {
      return busy;
    },
    get error() {
      return error;
    },
    search(text) {
      stopWaiting();
      if (place === null) return;
      // One word finds by the server; further words narrow what it found.
      const [word = ""] = text.trim().split(/\s+/);
      stopWaiting = activity.later(() => void ask(word), SETTLE);
    },
    close() {
      stopWaiting();
      latest.cancel();
      stop.abort();
    },
  };
}
