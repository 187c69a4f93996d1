// The state of the runs table: its rows, columns, selection, and what is open.
import { tick, untrack } from "svelte";
import { ApiError } from "../../lib/api";
import { columnsWithStatistics, groupOrder, metricOf } from "../../lib/group-statistics";
import { createLatest } from "../../lib/latest";
import { parseOrders } from "../../lib/order";
import type { ProjectRoute } from "../../lib/route";
import { textsOf, withText } from "../../lib/run-edit";
import { defaultColumns, fieldsOf, fieldsToRead, NAME_COLUMN, type RunRow } from "../../lib/table";
import { onLive } from "../../state/live.svelte";
import { hrefWith } from "../../state/nav.svelte";
import { readRuns } from "../../state/read-runs";
import { RunFields } from "../../state/run-fields.svelte";
import { RunGroupList } from "../../state/run-groups.svelte";
import { MOST_SHOWN } from "../../state/run-set.svelte";
import { notifyFailure } from "../../state/toasts.svelte";
import type { Workspace } from "../../state/workspace.svelte";
import { createColumns, type Columns } from "./columns.svelte";
import { ROW, type Popup, type RowContext } from "./rows";
import { Selection } from "./selection.svelte";
import { Viewport } from "./viewport.svelte";

/** Statistics of one answer. */
const MOST_METRICS = 200;
/** Least widths in pixels: of the names of groups in a wide table, of statistics, and of differences to a baseline. */
const WIDE = 700;
const GROUP_NAME_WIDTH = 320;
const STATISTICS_WIDTH = 290;
const DIFFERENCE_WIDTH = 215;

/** Create it while a component is created. */
export class TableModel {
  readonly fields = new RunFields();
  readonly groups = new RunGroupList();
  readonly selection = new Selection();
  readonly columns: Columns;
  readonly view: Viewport;
  edited = $state.raw<RowContext["edited"]>(null);
  popup = $state.raw<Popup | null>(null);
  popupOpen = $state(false);
  /** The runs in the head of the table: the baseline and the pinned ones. */
  fixed = $state.raw<RunRow[]>([]);
  readonly #latestFixed = createLatest();
  readonly #workspace: () => Workspace;
  readonly #route: () => ProjectRoute;

  constructor(workspace: () => Workspace, route: () => ProjectRoute) {
    this.#workspace = workspace;
    this.#route = route;
    this.columns = createColumns(
      `columns:${untrack(() => `${route().entity}/${route().project}`)}`,
      () => defaultColumns(this.fields.list),
      (id) => this.#numeric.has(id),
      (id) => this.#leastWidth(id),
    );
    this.view = new Viewport(() => this.total, this.columns);
    this.#follow();
  }

  grouped = $derived.by(() => this.#route().group.length > 0);
  source = $derived.by(() => (this.grouped ? this.groups : this.#workspace().list));
  total = $derived.by(() => this.source.total);
  baseline = $derived.by(() => this.fixed.find((run) => run.id === this.#route().baseline));
  wrongQuery = $derived.by(() => {
    const { error } = this.source;
    return error instanceof ApiError && error.status === 400 ? error.message : null;
  });
  /** The row whose controls the Tab key reaches. */
  focusable = $derived.by(() => {
    const { cursor } = this.selection;
    return cursor !== null && cursor >= this.view.first && cursor < this.view.end ? cursor : Math.ceil(this.view.restTop / ROW);
  });
  href = $derived.by(() => {
    const [before, after] = hrefWith({ run: "x", artifact: null }).split("?run=x") as [string, string];
    return (id: string) => `${before}?run=${encodeURIComponent(id)}${after}`;
  });
  #numeric = $derived.by(() => new Set(this.fields.list.filter((each) => each.numbers).map((each) => each.field)));
  /** The shown columns for which groups have statistics. */
  #withStatistics = $derived.by(() => this.#statisticsOf(this.columns.shown).slice(0, MOST_METRICS));
  #fixedIds = $derived.by(() => {
    const { baseline, pinned } = this.#route();
    return [...new Set([...(baseline === null ? [] : [baseline]), ...pinned])];
  });
  #listed = $derived.by(() => {
    const { order, search, group } = this.#route();
    return JSON.stringify([order, search, group]);
  });
  // Compared as texts: other changes of the address or of the columns must not load anything again.
  #asked = $derived.by(() => JSON.stringify(fieldsOf(this.columns.shown)));
  #fixedAsked = $derived.by(() => JSON.stringify([this.#fixedIds, this.#asked]));
  #groupsAsked = $derived.by(() => {
    if (!this.grouped) return null;
    const { entity, project, group, search, order } = this.#route();
    const columns = this.#withStatistics;
    return JSON.stringify({
      ...{ entity, project, group, search, metrics: columns.map(metricOf) },
      ...{ order: groupOrder(parseOrders(order), group, columns), runOrder: order },
    });
  });

  #leastWidth(id: string): number {
    if (id === NAME_COLUMN.id) return this.grouped && this.view.width >= WIDE ? GROUP_NAME_WIDTH : 0;
    if (this.grouped) return this.#statisticsOf([id]).length > 0 ? STATISTICS_WIDTH : 0;
    return id.startsWith("summary.") && this.baseline !== undefined ? DIFFERENCE_WIDTH : 0;
  }

  #statisticsOf(columns: string[]): string[] {
    return columnsWithStatistics(columns, this.#route().group, (id) => this.#numeric.has(id));
  }

  #follow(): void {
    // Other changes of the address must not load the fields again.
    const entity = $derived(this.#route().entity);
    const project = $derived(this.#route().project);
    $effect(() => this.fields.open(entity, project));
    $effect(() => {
      const names = JSON.parse(this.#asked) as string[] | null;
      untrack(() => {
        this.#workspace().list.choose(names);
        this.groups.choose(names);
      });
    });
    $effect(() => {
      void [this.total, this.view.height];
      untrack(() => this.view.locate());
    });
    $effect(() => this.source.show({ start: this.view.first, end: this.view.end }));
    $effect(() => {
      const query = this.#groupsAsked;
      untrack(() => {
        if (query === null) this.groups.close();
        else this.groups.open(JSON.parse(query) as Parameters<RunGroupList["open"]>[0]);
      });
    });
    $effect(() => {
      // Another order or search begins at the top.
      void this.#listed;
      if (this.view.scroller !== undefined && this.view.scrollTop > 0) this.view.scroller.scrollTop = 0;
      untrack(() => (this.selection.cursor = null));
    });
    $effect(() => {
      void this.#fixedAsked;
      untrack(() => void this.#loadFixed());
    });
    $effect(() =>
      onLive((refs) => {
        const { entity, project } = this.#route();
        if (!refs.some((ref) => ref.entity === entity && ref.project === project)) return;
        if (this.grouped) this.groups.refresh();
        void this.#loadFixed();
        void this.fields.refresh();
      }),
    );
    $effect(() => () => {
      this.groups.close();
      this.fields.close();
    });
  }

  async #loadFixed(): Promise<void> {
    const ids = this.#fixedIds;
    if (ids.length === 0 && this.fixed.length === 0) return;
    try {
      // Other columns ask again: an earlier answer must not replace a later one.
      const found = await this.#latestFixed.run(() => readRuns(this.#route(), ids, fieldsToRead(this.columns.shown)));
      if (found === undefined) return;
      this.fixed = ids.map((id) => found.find((run) => run.id === id)).filter((run) => run !== undefined);
    } catch (error) {
      notifyFailure(error);
    }
  }

  /** Loads everything again, after a change that this page has made. */
  refresh = (): void => {
    const { list, set } = this.#workspace();
    list.refresh();
    set.retry();
    if (this.grouped) this.groups.refresh();
    void this.#loadFixed();
    void this.fields.refresh();
  };

  runAt(index: number): RunRow | undefined {
    if (!this.grouped) return this.#workspace().list.row(index);
    return this.groups.at(index).run;
  }

  /** Returns the runs between two rows. */
  between = async (from: number, to: number): Promise<RunRow[]> => {
    if (!this.grouped) return this.#workspace().list.read(["id"], from, to);
    return Array.from({ length: to - from }, (_, at) => this.runAt(from + at)).filter((run) => run !== undefined);
  };

  async selectAll(all: boolean): Promise<void> {
    const { list } = this.#workspace();
    if (all) this.selection.add((await list.read(["id"], 0, list.total)).map((run) => run.id));
    else this.selection.clear();
  }

  open(kind: Popup["kind"], run: RunRow, anchor: HTMLElement): void {
    this.popup = { kind, run, anchor };
    this.popupOpen = true;
  }

  async saveText(run: RunRow, field: string, text: string): Promise<void> {
    const { editRun } = await import("./actions");
    const before = textsOf(run);
    await editRun(this.#route(), run.id, before, withText(before, field, text), this.refresh);
    this.edited = null;
  }

  /** Saves runs as a CSV file: all that match for null. */
  async saveCsv(ids: string[] | null): Promise<void> {
    try {
      const { list } = this.#workspace();
      const names = fieldsToRead(this.columns.shown);
      const rows = ids === null ? await list.read(names, 0, list.total) : await readRuns(this.#route(), ids, names);
      const { csvOf, saveText } = await import("./export");
      saveText(`${this.#route().project}.csv`, csvOf(rows, this.columns.shown, this.fields.sweeps));
    } catch (error) {
      notifyFailure(error);
    }
  }

  async moveCursor(by: number): Promise<void> {
    const { selection, view } = this;
    const next = selection.cursor === null ? this.focusable : selection.cursor + by;
    selection.cursor = Math.min(this.total - 1, Math.max(0, next));
    view.reveal(selection.cursor, this.fixed.length);
    await tick();
    view.scroller?.querySelector<HTMLElement>(`.body [data-index="${selection.cursor}"] :is(a, button)`)?.focus({ preventScroll: true });
  }

  /** Draws the runs of the group at a row, or hides them; with `alone`, draws only these. */
  async drawGroup(index: number, alone: boolean): Promise<void> {
    const ids = await this.groups.readIds(index, MOST_SHOWN + 1);
    if (ids.length > MOST_SHOWN) {
      notifyFailure(new Error(`The group has more than ${MOST_SHOWN} runs. Use the search to draw only these, or to leave them out.`));
    } else if (alone) this.#workspace().solo(this.#route(), ids);
    else this.#workspace().toggleGroup(this.#route(), ids);
  }

  /** Selects the runs of the group at a row, or deselects them. */
  async selectGroup(index: number): Promise<void> {
    this.selection.toggleAll(await this.groups.readIds(index, Infinity));
  }
}
