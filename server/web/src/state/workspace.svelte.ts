// State that the table, the charts and the run view of one project share.
import { createLatest } from "../lib/latest";
import type { ProjectRoute } from "../lib/route";
import { patch } from "./nav.svelte";
import { RunList } from "./run-list.svelte";
import { api } from "./services";
import { DEFAULT_SHOWN, MOST_SHOWN, ShownRuns } from "./shown-runs.svelte";

export class Workspace {
  list = new RunList();
  shown = new ShownRuns();
  /** Ids of the newest runs. They are drawn until the user chooses runs. */
  newest = $state.raw<string[]>([]);

  #latest = createLatest();

  /** Returns the ids of the runs to draw for a route. */
  idsOf(route: ProjectRoute): string[] {
    return (route.shown ?? this.newest).slice(0, MOST_SHOWN);
  }

  async loadNewest(entity: string, project: string, search: string): Promise<void> {
    try {
      const query = { limit: DEFAULT_SHOWN, offset: 0, order: "-created_at", search };
      const page = await this.#latest.run((signal) => api.runs(entity, project, query, signal));
      if (page === undefined) return;
      const ids = page.runs.map((run) => run.id);
      if (ids.join() !== this.newest.join()) this.newest = ids;
    } catch {
      // The table makes the same request and reports the failure.
    }
  }

  toggle(route: ProjectRoute, id: string): void {
    const ids = this.idsOf(route);
    const next = ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id].slice(-MOST_SHOWN);
    patch({ shown: next }, true);
  }

  close(): void {
    this.#latest.cancel();
    this.list.close();
  }
}
