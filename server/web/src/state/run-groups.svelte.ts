// Groups of runs as rows of the table: each open group is followed by its runs. Pages of groups load when they come into
// view: statistics of many metrics are large.
import { groupParameters, groupQuery, type RunGroup } from "../lib/group-statistics";
import { stringify } from "../lib/format";
import type { RunRow } from "../lib/table";
import { pagesOf, type Window } from "../lib/window";
import { RunList } from "./run-list.svelte";
import { activity, api, messageOf } from "./services";

const PAGE = 100;
/** Wait this many milliseconds, so that fast scrolling does not load the pages in between. */
const SETTLE = 60;

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

/** A group with the query for its runs; null if a query cannot find them. */
interface Known {
  group: RunGroup;
  query: string | null;
}

/** What a row shows: a group, a run of an open group, or neither while it loads. */
export interface Found {
  group?: GroupRow;
  run?: RunRow | undefined;
}

export class RunGroupList {
  by = $state.raw<string[]>([]);
  /** The number of all groups. */
  count = $state(0);
  loaded = $state(false);
  error = $state.raw<unknown>(null);

  #pages = $state.raw<ReadonlyMap<number, Known[]>>(new Map());
  /** The ids of the runs of groups, by the query of the group: see `readIds`. */
  #ids = $state.raw<ReadonlyMap<string, string[]>>(new Map());
  #named = $derived.by(() => {
    const groups = [...this.#pages.values()].flat().map(({ group }) => group);
    const differ = this.by.filter((key) => new Set(groups.map((group) => stringify(group.values[key] ?? null))).size > 1);
    return differ.length > 0 ? differ : this.by;
  });
  #query: GroupsQuery | null = null;
  #fields: string[] | null = null;
  #wanted: Window = { start: 0, end: 0 };
  #loading = new Map<number, AbortController>();
  #stopWaiting = (): void => undefined;
  /** The lists of the open groups, by the query of the group. */
  #lists = $state.raw<ReadonlyMap<string, RunList>>(new Map());
  /** The open groups from top to bottom: their number among the groups, and the number of their runs. */
  #open = $derived.by(() => {
    if (this.#lists.size === 0) return [];
    const open: { at: number; list: RunList; runs: number }[] = [];
    for (const [page, groups] of this.#pages) {
      for (const [at, { group, query }] of groups.entries()) {
        const list = this.#lists.get(query ?? "");
        if (query !== null && list !== undefined) open.push({ at: page * PAGE + at, list, runs: list.loaded ? list.total : group.runs });
      }
    }
    return open.sort((a, b) => a.at - b.at);
  });

  /** The number of rows of the table. */
  get total(): number {
    return this.count + this.#open.reduce((sum, { runs }) => sum + runs, 0);
  }

  get message(): string | null {
    return this.error === null ? null : messageOf(this.error);
  }

  /** Starts another query. Old groups stay visible until the first new page has arrived. */
  open(query: GroupsQuery): void {
    const before = this.#query;
    const same = before !== null && before.search === query.search && before.runOrder === query.runOrder;
    if (!same || before.group.join() !== query.group.join()) {
      this.#closeLists();
      this.#ids = new Map();
    }
    this.#abort();
    this.#query = query;
    void this.#load(0, true);
  }

  choose(fields: string[] | null): void {
    this.#fields = fields;
    for (const list of this.#lists.values()) list.choose(fields);
  }

  /** Returns the group or the run at a row. */
  at(row: number): Found {
    const { at, list, index } = this.#find(row);
    if (list !== undefined) return { run: list.row(index) };
    const known = this.#known(at);
    if (known === undefined) return {};
    const { group, query } = known;
    const open = query !== null && this.#lists.has(query);
    return { group: { group, open, listable: query !== null, named: this.#named, ids: this.#ids.get(query ?? "") } };
  }

  /** Reads the ids of the runs of the group at a row, at most `most`. */
  async readIds(row: number, most: number): Promise<string[]> {
    const query = this.#known(this.#find(row).at)?.query;
    if (this.#query === null || query === null || query === undefined) return [];
    const list = new RunList();
    const { entity, project, runOrder: order } = this.#query;
    const ids = (await list.readAll({ entity, project, order, search: query }, ["id"], 0, most)).map((run) => run.id);
    this.#ids = new Map([...this.#ids, [query, ids]]);
    return ids;
  }

  /** Sets the rows that are in view, and loads what they miss. */
  show(window: Window): void {
    this.#wanted = window;
    let before = 0;
    for (const { at, list, runs } of this.#open) {
      const first = at + before + 1;
      const start = Math.max(0, window.start - first);
      const end = Math.min(list.total, window.end - first);
      if (start < end) list.show({ start, end });
      before += runs;
    }
    this.#stopWaiting();
    if (this.#missing().length > 0) this.#stopWaiting = activity.later(() => this.#loadMissing(), SETTLE);
  }

  /** Shows the runs of the group at a row, or hides them. */
  toggle(row: number): void {
    const query = this.#known(this.#find(row).at)?.query;
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
    if (this.#query === null) return;
    // Pages out of view may be outdated. They load again when they come back into view, except those of open groups.
    const kept = new Set([...this.#wantedPages(), ...this.#open.map(({ at }) => Math.floor(at / PAGE))]);
    this.#pages = new Map([...this.#pages].filter(([page]) => kept.has(page)));
    for (const page of kept) void this.#load(page, false);
    for (const list of this.#lists.values()) list.refresh();
  }

  close(): void {
    this.#closeLists();
    this.#abort();
    this.#query = null;
  }

  /** Returns the number of the group at a row, or of the group that the run at this row is in, and its place there. */
  #find(row: number): { at: number; list?: RunList; index: number } {
    let before = 0;
    for (const { at, list, runs } of this.#open) {
      if (row - before <= at) break;
      const index = row - before - at - 1;
      if (index < runs) return { at, list, index };
      before += runs;
    }
    return { at: row - before, index: 0 };
  }

  #known(at: number): Known | undefined {
    return this.#pages.get(Math.floor(at / PAGE))?.[at % PAGE];
  }

  #wantedPages(): number[] {
    const { start, end } = this.#wanted;
    if (end <= start) return [0];
    return pagesOf({ start: this.#find(start).at, end: this.#find(end - 1).at + 1 }, PAGE);
  }

  #missing(): number[] {
    return this.#wantedPages().filter((page) => !this.#pages.has(page) && !this.#loading.has(page));
  }

  #loadMissing(): void {
    for (const page of this.#missing()) void this.#load(page, false);
  }

  #abort(): void {
    this.#stopWaiting();
    for (const request of this.#loading.values()) request.abort();
    this.#loading.clear();
  }

  #closeLists(): void {
    for (const list of this.#lists.values()) list.close();
    this.#lists = new Map();
  }

  /** Loads a page of groups; with `fresh`, it replaces all pages. */
  async #load(page: number, fresh: boolean): Promise<void> {
    const query = this.#query;
    if (query === null) return;
    this.#loading.get(page)?.abort();
    const request = new AbortController();
    this.#loading.set(page, request);
    try {
      const { entity, project, group, search, order, metrics } = query;
      const asked = { ...groupParameters(group), search, order, metrics, limit: PAGE, offset: page * PAGE };
      const answer = await api.runGroups(entity, project, asked, request.signal);
      if (request.signal.aborted) return;
      const found = answer.groups.map((each) => ({ group: each, query: groupQuery(search, each.values) }));
      this.#pages = new Map([...(fresh ? [] : this.#pages), [page, found]]);
      this.by = answer.by;
      this.count = answer.total;
      this.loaded = true;
      this.error = null;
    } catch (error) {
      if (!request.signal.aborted) this.error = error;
    } finally {
      if (this.#loading.get(page) === request) this.#loading.delete(page);
    }
    if (!request.signal.aborted && this.error === null) this.#loadMissing();
  }
}
