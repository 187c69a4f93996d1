// State that the table, the charts and the run view of one project share.
import type { ProjectRoute } from "../lib/route";
import { patch } from "./nav.svelte";
import { RunList } from "./run-list.svelte";
import { RunSet } from "./run-set.svelte";

export class Workspace {
  list = new RunList();
  set = new RunSet();
  /** Whether the first charts are drawn. Other parts are made afterwards. */
  begun = $state(false);

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

  /** Draws only these runs; the first ones again if they are the only ones. */
  solo({ shown }: ProjectRoute, ids: string[]): void {
    const isSolo = Array.isArray(shown) && shown.length === ids.length && ids.every((id) => shown.includes(id));
    patch({ shown: isSolo ? null : ids, hidden: [] }, true);
  }

  /** Whether the runs of a group are drawn, if groups are. Without a choice, all runs that match are in groups. */
  hasGroup({ shown, hidden }: ProjectRoute, ids: string[] | undefined): boolean {
    if (ids === undefined) return !Array.isArray(shown);
    return ids.some((id) => !hidden.includes(id) && (!Array.isArray(shown) || shown.includes(id)));
  }

  /** Draws the runs of a group, or hides them. */
  toggleGroup(route: ProjectRoute, ids: string[]): void {
    const on = !this.hasGroup(route, ids);
    const { shown } = route;
    const rest = route.hidden.filter((id) => !ids.includes(id));
    const pinned = on ? route.pinned : route.pinned.filter((id) => !ids.includes(id));
    if (!Array.isArray(shown)) return patch({ hidden: on ? rest : [...rest, ...ids], pinned }, true);
    const others = shown.filter((id) => !ids.includes(id));
    patch({ shown: on ? [...others, ...ids] : others, hidden: rest, pinned }, true);
  }

  close(): void {
    this.set.close();
    this.list.close();
  }
}
