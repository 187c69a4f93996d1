// Groups of runs as rows of the table: each open group is followed by its runs.
import { createLatest } from "../lib/latest";
import { groupParameters, groupQuery, type RunGroup } from "../lib/group-statistics";
import { stringify } from "../lib/format";
import type { RunRow } from "../lib/table";
import type { Window } from "../lib/window";
import { RunList } from "./run-list.svelte";
import { api, messageOf } from "./services";

/** The largest page of the server. More groups than this are not shown. */
export const MOST_GROUPS = 1000;

export interface GroupsQuery {
  entity: string;
  project: string;
  /** Keys as in the address. */
  group: string[];
  search: string;
  /** The order of the groups. */
  order: string;
  /** The order of the runs in a group. */
  runOrder: string;
  metrics: string[];
}

export interface GroupRow {
  group: RunGroup;
  open: boolean;
  /** False for a group whose runs a query cannot find. */
  listable: boolean;
  /** The keys that name the group: those in which groups differ. */
  named: string[];
  /** The ids of its runs, if they were read. */
  ids: string[] | undefined;
}

export class RunGroupList {
  groups = $state.raw<RunGroup[]>([]);
  by = $state.raw<string[]>([]);
  /** The number of all groups. */
  count = $state(0);
  loaded = $state(false);
  error = $state.raw<unknown>(null);

  /** The ids of the runs of groups, by the query of the group: see `readIds`. */
  #ids = $state.raw<ReadonlyMap<string, string[]>>(new Map());
  #named = $derived.by(() => {
    const differ = this.by.filter((key) => new Set(this.groups.map((group) => stringify(group.values[key] ?? null))).size > 1);
    return differ.length > 0 ? differ : this.by;
  });
  #query: GroupsQuery | null = null;
  #fields: string[] | null = null;
  #latest = createLatest();
  /** The lists of the open groups, by the query of the group. */
  #lists = $state.raw<ReadonlyMap<string, RunList>>(new Map());
  /** For each group, the index of its row, and its list of runs. */
  #places = $derived.by(() => {
    const places: { start: number; list: RunList | undefined; query: string | null }[] = [];
    let start = 0;
    for (const group of this.groups) {
      const query = groupQuery(this.#query?.search ?? "", group.values);
      const list = query === null ? undefined : this.#lists.get(query);
      places.push({ start, list, query });
      start += 1 + (list === undefined ? 0 : list.loaded ? list.total : group.runs);
    }
    return { places, total: start };
  });

  /** The number of rows of the table. */
  get total(): number {
    return this.#places.total;
  }

  get message(): string | null {
    return this.error === null ? null : messageOf(this.error);
  }

  open(query: GroupsQuery): void {
    const before = this.#query;
    const same = before !== null && before.search === query.search && before.runOrder === query.runOrder;
    if (!same || before.group.join() !== query.group.join()) {
      this.#closeLists();
      this.#ids = new Map();
    }
    this.#query = query;
    void this.#load();
  }

  choose(fields: string[] | null): void {
    this.#fields = fields;
    for (const list of this.#lists.values()) list.choose(fields);
  }

  /** Returns the group or the run at a row. */
  at(index: number): { group: GroupRow } | { run: RunRow | undefined } {
    const at = this.#find(index);
    const { start, list, query } = this.#places.places[at] ?? { start: 0, list: undefined, query: null };
    if (index > start) return { run: list?.row(index - start - 1) };
    const ids = query === null ? undefined : this.#ids.get(query);
    return { group: { group: this.groups[at] as RunGroup, open: list !== undefined, listable: query !== null, named: this.#named, ids } };
  }

  /** Reads the ids of the runs of the group at a row, at most `most`. */
  async readIds(index: number, most: number): Promise<string[]> {
    const query = this.#places.places[this.#find(index)]?.query;
    if (this.#query === null || query === null || query === undefined) return [];
    const list = new RunList();
    const { entity, project, runOrder: order } = this.#query;
    const ids = (await list.readAll({ entity, project, order, search: query }, ["id"], 0, most)).map((run) => run.id);
    this.#ids = new Map([...this.#ids, [query, ids]]);
    return ids;
  }

  show(window: Window): void {
    for (const { start, list } of this.#places.places) {
      if (list === undefined) continue;
      const from = Math.max(0, window.start - start - 1);
      const to = Math.min(list.total, window.end - start - 1);
      if (from < to) list.show({ start: from, end: to });
    }
  }

  /** Shows the runs of the group at a row, or hides them. */
  toggle(index: number): void {
    const query = this.#places.places[this.#find(index)]?.query;
    if (query === null || query === undefined || this.#query === null) return;
    const lists = new Map(this.#lists);
    const open = lists.get(query);
    if (open !== undefined) {
      open.close();
      lists.delete(query);
    } else {
      const list = new RunList();
      const { entity, project, runOrder: order } = this.#query;
      list.choose(this.#fields);
      list.open({ entity, project, order, search: query });
      lists.set(query, list);
    }
    this.#lists = lists;
  }

  refresh(): void {
    if (this.#query !== null) void this.#load();
    for (const list of this.#lists.values()) list.refresh();
  }

  close(): void {
    this.#closeLists();
    this.#latest.cancel();
    this.#query = null;
  }

  #find(index: number): number {
    const { places } = this.#places;
    let low = 0;
    let high = places.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((places[middle]?.start ?? 0) <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #closeLists(): void {
    for (const list of this.#lists.values()) list.close();
    this.#lists = new Map();
  }

  async #load(): Promise<void> {
    const query = this.#query;
    if (query === null) return;
    const { entity, project, group, search, order, metrics } = query;
    try {
      const asked = { ...groupParameters(group), search, order, metrics, limit: MOST_GROUPS };
      const answer = await this.#latest.run((signal) => api.runGroups(entity, project, asked, signal));
      if (answer === undefined) return;
      this.groups = answer.groups;
      this.by = answer.by;
      this.count = answer.total;
      this.loaded = true;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }
}
