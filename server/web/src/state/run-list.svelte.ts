// The list of runs for the table. Pages load when they come into view, and stay for one query.
import type { Rows } from "../lib/api";
import { fieldsOf, type RunRow } from "../lib/table";
import { pagesOf, type Window } from "../lib/window";
import { activity, api, messageOf } from "./services";

const PAGE = 100;
const LARGEST_PAGE = 1000;
/** Wait this many milliseconds, so that fast scrolling does not load the pages in between. */
const SETTLE = 60;
const FIRST_FIELDS = fieldsOf(["state", "created_at", "duration", "last_step"]);

export interface ListQuery {
  entity: string;
  project: string;
  order: string;
  search: string;
}

export class RunList {
  total = $state(0);
  /** False until the first answer to the current query. */
  loaded = $state(false);
  error = $state.raw<unknown>(null);
  pages = $state.raw<ReadonlyMap<number, RunRow[]>>(new Map());

  #query: ListQuery | null = null;
  #fields = FIRST_FIELDS;
  #wanted: number[] = [0];
  #loading = new Map<number, AbortController>();
  #stopWaiting = (): void => undefined;

  row(index: number): RunRow | undefined {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  get message(): string | null {
    return this.error === null ? null : messageOf(this.error);
  }

  /** Starts another query. Old rows stay visible until the first new page has arrived. */
  open(query: ListQuery): void {
    this.#abort();
    const sameProject = this.#query?.entity === query.entity && this.#query.project === query.project;
    this.#query = query;
    this.#wanted = [0];
    this.error = null;
    if (!sameProject) {
      this.pages = new Map();
      this.total = 0;
      this.loaded = false;
    }
    void this.#load(0, true);
  }

  /** Sets the fields of the rows; null for whole runs. */
  choose(fields: string[] | null): void {
    const lacks = fields === null ? this.#fields !== null : fields.some((field) => this.#fields?.includes(field) === false);
    this.#fields = fields;
    if (lacks) this.refresh();
  }

  /** Sets the rows that are in view, and loads their missing pages. */
  show(window: Window): void {
    this.#wanted = pagesOf(window, PAGE);
    this.#stopWaiting();
    if (this.#missing().length > 0) {
      this.#stopWaiting = activity.later(() => this.#loadMissing(), SETTLE);
    }
  }

  /** Loads the visible rows again, for example after a live change. */
  refresh(): void {
    if (this.#query === null) return;
    const wanted = this.#wanted.length > 0 ? this.#wanted : [0];
    // Drop pages out of view, which may be outdated. They load again when they come back into view.
    this.pages = new Map([...this.pages].filter(([page]) => wanted.includes(page)));
    for (const page of wanted) void this.#load(page, false);
  }

  /** Returns some fields of the rows from one index up to another. */
  async read(fields: string[], from: number, to: number): Promise<RunRow[]> {
    return this.#query === null ? [] : this.readAll(this.#query, fields, from, to);
  }

  /** Returns some fields of the rows of any query from one index up to another. */
  async readAll({ entity, project, order, search }: ListQuery, fields: string[], from: number, to: number): Promise<RunRow[]> {
    const rows: RunRow[] = [];
    let cursor: string | null = null;
    while (from + rows.length < to) {
      const page = { order, search, limit: Math.min(LARGEST_PAGE, to - from - rows.length) };
      const place = cursor === null ? { offset: from } : { offset: 0, cursor };
      const answer: Rows = await api.runRows(entity, project, fields, { ...page, ...place });
      rows.push(...answer.runs);
      cursor = answer.next;
      if (cursor === null) break;
    }
    return rows;
  }

  close(): void {
    this.#abort();
    this.#query = null;
  }

  #missing(): number[] {
    return this.#wanted.filter((page) => !this.pages.has(page) && !this.#loading.has(page));
  }

  #loadMissing(): void {
    for (const [page, request] of this.#loading) {
      if (!this.#wanted.includes(page)) request.abort();
    }
    for (const page of this.#missing()) void this.#load(page, false);
  }

  #abort(): void {
    this.#stopWaiting();
    for (const request of this.#loading.values()) request.abort();
    this.#loading.clear();
  }

  async #load(page: number, fresh: boolean): Promise<void> {
    const query = this.#query;
    if (query === null) return;
    this.#loading.get(page)?.abort();
    const request = new AbortController();
    this.#loading.set(page, request);
    try {
      const { entity, project, order, search } = query;
      const asked = { limit: PAGE, offset: page * PAGE, order, search };
      const answer = await api.runRows(entity, project, this.#fields, asked, request.signal);
      if (request.signal.aborted) return;
      this.pages = fresh ? new Map([[page, answer.runs]]) : new Map([...this.pages, [page, answer.runs]]);
      this.total = answer.total;
      this.loaded = true;
      this.error = null;
    } catch (error) {
      if (!request.signal.aborted) this.error = error;
    } finally {
      if (this.#loading.get(page) === request) this.#loading.delete(page);
    }
  }
}
