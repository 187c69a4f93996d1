// State that the table, the charts and the run view of one project share.
import type { ProjectRoute } from "../lib/route";
import { patch } from "./nav.svelte";
import { RunList } from "./run-list.svelte";
import { RunSet } from "./run-set.svelte";

export class Workspace {
  list = new RunList();
  set = new RunSet();

  /** Draws a run, or hides it. */
  toggle(route: ProjectRoute, id: string): void {
    const { shown, hidden } = route;
    if (hidden.includes(id)) return patch({ hidden: hidden.filter((other) => other !== id) }, true);
    if (Array.isArray(shown)) {
      const next = shown.includes(id) ? shown.filter((other) => other !== id) : [...shown, id];
      return patch({ shown: next, pinned: route.pinned.filter((other) => other !== id || !this.set.has(id)) }, true);
    }
    if (this.set.has(id)) return patch({ hidden: [...hidden, id] }, true);
    patch({ shown: [...this.set.drawn.map((run) => run.id), id], hidden: [] }, true);
  }

  close(): void {
    this.set.close();
    this.list.close();
  }
}
