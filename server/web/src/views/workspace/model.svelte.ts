// What the parts of a workspace share: its sections, its metrics, the panel that is edited or moved.
import type { ChartRun } from "../../charts/ChartPanel.svelte";
import type { ChartView } from "../../charts/model";
import { viewOf } from "../../charts/model";
import { mergeLooks, metricsOf, compilePattern, titleOfPanel, type Band, type Look, type PanelSettings } from "../../lib/panel-settings";
import { keysOfRanks } from "../../lib/ranks";
import type { ProjectRoute } from "../../lib/route";
import type { RunGroup } from "../../lib/run-groups";
import { arrange, changePanel, movePanel, removePanel, type Layout, type Panel, type Section } from "../../lib/workspace-layout";
import type { Metric } from "../../state/run-set.svelte";
import type { SavedViews } from "../../state/saved-views.svelte";
import { activity } from "../../state/services";
import { notify } from "../../state/toasts.svelte";

export interface WorkspaceInput {
  route: ProjectRoute;
  /** The keys that the drawn runs logged. */
  infos: Metric[];
  /** The keys with numbers, sorted. */
  metrics: string[];
  runs: ChartRun[];
  /** The groups whose means are drawn; null if lines are runs. */
  groups: RunGroup[] | null;
  /** Whether the first charts are drawn. */
  begun: boolean;
}

/** The panel in the dialog. `key` is null for a panel that is added. */
export interface Edited {
  key: string | null;
  section: string;
  settings: PanelSettings;
}

/** The most layout changes that can be undone. */
const MOST_UNDONE = 100;
/** The number of panels that are made before the first chart is drawn, and in each task afterwards. */
const AT_ONCE = 6;

export class WorkspaceModel {
  /** The panel that arrow keys move. */
  moving = $state<string | null>(null);
  /** Where a dragged panel would be dropped. */
  drop = $state.raw<{ key: string; section: string; at: string | null; after: boolean } | null>(null);
  edited = $state.raw<Edited | null>(null);
  /** Read by screen readers. */
  announced = $state("");

  /** The number of panels that may be on the page: the first ones are drawn before the others are made. */
  #room = $state(AT_ONCE);
  /** Layouts that undo and redo return to. */
  #past = $state.raw<Layout[]>([]);
  #future = $state.raw<Layout[]>([]);
  /** The layout after the newest change here. Another one is that of another view: it has no history. */
  #newest = $state.raw<Layout | null>(null);
  #before: Layout = {};
  /** Its properties are getters: what depends on one of them does not depend on the others. */
  #input: WorkspaceInput;
  readonly views: SavedViews;

  constructor(views: SavedViews, input: WorkspaceInput) {
    this.views = views;
    this.#input = input;
  }

  sections = $derived.by((): Section[] => arrange(this.views.layout, this.#input.metrics));
  pattern = $derived.by(() => compilePattern(this.#input.route.metric));
  /** The sections with the panels that the search matches; without hidden ones. */
  shown = $derived.by((): Section[] => {
    const visible = this.sections.filter((section) => !section.hidden);
    if (this.#input.route.metric.trim() === "" || this.pattern.error !== null) return visible;
    return visible
      .map((section) => ({ ...section, panels: section.panels.filter((panel) => this.#matches(panel)) }))
      .filter((section) => section.panels.length > 0);
  });

  /** The metrics that several ranks of the only drawn run logged. */
  ranked = $derived.by((): Set<string> => keysOfRanks(this.#input.runs.length === 1 ? this.#input.infos : []));

  /** The number of panels that may be on the page, by section. */
  rooms = $derived.by((): ReadonlyMap<string, number> => {
    let left = this.#room;
    return new Map(
      this.shown.map(({ key, panels, closed }) => {
        const mine = left;
        if (!closed) left = Math.max(0, left - panels.length);
        return [key, mine];
      }),
    );
  });

  /** Makes the other panels, some in each task. */
  showRest(): void {
    const total = this.sections.reduce((sum, section) => sum + section.panels.length, 0);
    this.#room = this.#room < total ? this.#room + AT_ONCE : Infinity;
    if (this.#room < Infinity) activity.later(() => this.showRest(), 0);
  }

  get route(): ProjectRoute {
    return this.#input.route;
  }
  get begun(): boolean {
    return this.#input.begun;
  }
  get runs(): ChartRun[] {
    return this.#input.runs;
  }
  get groups(): RunGroup[] | null {
    return this.#input.groups;
  }
  get infos(): Metric[] {
    return this.#input.infos;
  }
  get metrics(): string[] {
    return this.#input.metrics;
  }

  #matches({ settings }: Panel): boolean {
    const { matches } = this.pattern;
    return matches(titleOfPanel(settings)) || (settings.type === "line" && this.metricsOf(settings).some(matches));
  }

  metricsOf(settings: PanelSettings): string[] {
    return metricsOf(settings, this.metrics);
  }

  find(key: string): { section: Section; panel: Panel; at: number } | null {
    for (const section of this.sections) {
      const at = section.panels.findIndex((panel) => panel.key === key);
      const panel = section.panels[at];
      if (panel !== undefined) return { section, panel, at };
    }
    return null;
  }

  /** The look of a panel: its own settings, then those of its section, then those of the workspace. */
  look(section: Section, settings?: PanelSettings): Look {
    return mergeLooks(this.views.layout.look, section.look, settings);
  }

  band(section: Section, settings?: PanelSettings): Band {
    return this.look(section, settings).band ?? "std";
  }

  /** How a line panel is drawn. The address has the defaults of the workspace. */
  chartView(section: Section, settings: PanelSettings): ChartView {
    const base = viewOf(this.route);
    const { axis, smoothing, logX, logY, clip } = mergeLooks(section.look, settings);
    const view: ChartView = { ...base };
    if (axis !== undefined) {
      view.axis = axis;
      view.zoomAxis = base.zoomAxis || base.axis || "_step";
    }
    if (smoothing !== undefined) view.smoothing = smoothing;
    if (logX !== undefined) view.logX = logX;
    if (logY !== undefined) view.logY = logY;
    if (clip !== undefined) view.clip = clip;
    const { aggregation } = this.look(section, settings);
    if (aggregation !== undefined) view.aggregation = aggregation;
    if (settings.xRange !== undefined) view.xRange = settings.xRange;
    if (settings.yRange !== undefined) view.yRange = settings.yRange;
    return view;
  }

  apply(change: (layout: Layout) => Layout): void {
    const before = this.views.layout;
    const next = change(before);
    // The steps of a movement are one change: `endMove` notes it.
    if (this.moving === null) this.#note(before);
    this.views.layout = this.#newest = next;
  }

  #note(before: Layout): void {
    const past = this.views.layout === this.#newest ? this.#past : [];
    this.#past = [...past, before].slice(-MOST_UNDONE);
    this.#future = [];
  }

  get canUndo(): boolean {
    return this.#past.length > 0 && this.views.layout === this.#newest;
  }
  get canRedo(): boolean {
    return this.#future.length > 0 && this.views.layout === this.#newest;
  }

  undo(): void {
    const before = this.#past.at(-1);
    if (!this.canUndo || before === undefined) return;
    this.#past = this.#past.slice(0, -1);
    this.#future = [...this.#future, this.views.layout];
    this.views.layout = this.#newest = before;
  }

  redo(): void {
    const next = this.#future.at(-1);
    if (!this.canRedo || next === undefined) return;
    this.#future = this.#future.slice(0, -1);
    this.#past = [...this.#past, this.views.layout];
    this.views.layout = this.#newest = next;
  }

  move(key: string, section: string, to: number): void {
    this.apply((layout) => movePanel(layout, this.metrics, key, section, to));
  }

  resize(key: string, columns: number, height: number | undefined): void {
    this.apply((layout) => changePanel(layout, key, { columns, height }));
  }

  remove(panel: Panel): void {
    const before = this.views.layout;
    this.apply((layout) => removePanel(layout, panel.key));
    notify(`Removed the panel “${titleOfPanel(panel.settings)}”.`, async () => this.apply(() => before));
  }

  startMove(key: string): void {
    if (this.views.layout !== this.#newest) this.#past = [];
    this.#before = this.#newest = this.views.layout;
    this.moving = key;
    this.#say(key, "Arrow keys move it, Enter drops it, Escape takes it back.");
  }

  endMove(keep: boolean): void {
    const key = this.moving;
    if (keep && this.views.layout !== this.#before) this.#note(this.#before);
    this.moving = null;
    if (!keep) this.views.layout = this.#newest = this.#before;
    if (key !== null) this.#say(key, keep ? "Dropped." : "Moved back.");
  }

  /** Moves the panel by some places; past the end of its section into the next one. */
  step(key: string, by: number): void {
    const found = this.find(key);
    if (found === null) return;
    const { section, at } = found;
    const open = this.sections.filter((each) => !each.hidden && !each.closed);
    const place = open.findIndex((each) => each.key === section.key);
    const to = at + by;
    if (to >= 0 && to < section.panels.length) this.move(key, section.key, to);
    else {
      const next = open[place + Math.sign(by)];
      if (next === undefined) return;
      this.move(key, next.key, by > 0 ? 0 : next.panels.length);
    }
    this.#say(key, "");
  }

  #say(key: string, more: string): void {
    const found = this.find(key);
    if (found === null) return;
    const { section, panel, at } = found;
    this.announced = `${titleOfPanel(panel.settings)}: place ${at + 1} of ${section.panels.length} in ${section.title}. ${more}`;
  }

  /** Puts a dragged panel where the mark is. */
  dropNow(): void {
    const { drop } = this;
    this.drop = null;
    if (drop === null || drop.at === drop.key) return;
    const keys = this.sections.find((each) => each.key === drop.section)?.panels.map((panel) => panel.key) ?? [];
    const others = keys.filter((key) => key !== drop.key);
    const at = drop.at === null ? others.length : others.indexOf(drop.at) + (drop.after ? 1 : 0);
    this.move(drop.key, drop.section, Math.max(0, at));
    this.#say(drop.key, "Dropped.");
  }
}
