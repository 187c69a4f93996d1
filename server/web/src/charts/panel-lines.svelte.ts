// The lines of one panel: loaded while the panel is on screen, loaded again for changed runs only, and smoothed.
import { untrack } from "svelte";
import { dashOf, styleOf, type LineStyle } from "../lib/colors";
import { aggregate, NO_LINE, type Line } from "../lib/lines";
import { parseSmoothing } from "../lib/smoothing";
import { live } from "../state/live.svelte";
import { activity, charts, messageOf } from "../state/services";
import { theme } from "../state/theme.svelte";
import { loadLine, type LoadedLine } from "./line-cache";
import { xExtent, xRange, zoomOf, type ChartView, type NamedLine, type Range } from "./model";
import { forget, redraw } from "./redraw";
import { smoothedOf, smoothLines } from "./smoother";
import { movingView } from "./zoom.svelte";

/** A run that a panel draws. */
export interface ChartRun {
  id: string;
  name: string;
  /** Larger after each change of the run. */
  version: number;
  style: LineStyle;
  /** Whether the run is still logged: then only its new values are loaded after a change. */
  running?: boolean;
  /** All rows of this segment instead of the newest branch. */
  segment?: string | null;
  /** Segments whose rows are drawn as pale lines, because a later attempt logged them again. */
  branches?: string[];
}

/** The properties of a panel: state that the lines depend on. */
export interface PanelInput {
  place: { entity: string; project: string };
  metrics: string[];
  runs: ChartRun[];
  view: ChartView;
  visible: boolean;
  /** Whether the chart has room for twice as many points. */
  wide: boolean;
}

/** A server puts lines with more values than this into buckets: about the width of a chart in device pixels. */
const POINTS = 1000;
/** With more lines than this, a wide chart has no more points. */
const CROWD = 20;
/** The steps of extremes are shown for at most this many lines. */
const EXPLAINED = 3;

interface Wanted {
  id: string;
  run: string;
  key: string;
  segment: string | null;
  /** Whether it is a pale line of an abandoned branch. */
  branch: boolean;
  version: number;
  running: boolean;
}

type Common = Omit<Parameters<typeof loadLine>[0], "run" | "key" | "segment" | "zoom">;

const wantedOf = ({ runs, metrics }: Pick<PanelInput, "runs" | "metrics">): Wanted[] =>
  runs.flatMap((run) =>
    metrics.flatMap((key) =>
      [run.segment ?? null, ...(run.segment ? [] : (run.branches ?? []))].map((segment, i) => ({
        id: `${run.id} ${key} ${i === 0 ? "" : segment}`,
        run: run.id,
        key,
        segment,
        branch: i > 0,
        version: i === 0 ? run.version : 0,
        running: run.running === true,
      })),
    ),
  );

const commonOf = (place: PanelInput["place"], axis: string, count: number, wide: boolean): Common => ({
  ...place,
  x: axis || null,
  points: wide && count <= CROWD ? 2 * POINTS : POINTS,
  steps: count <= EXPLAINED,
});

const loadWanted = (common: Common, zoom: Range | null, { run, key, segment, version, running }: Wanted): Promise<LoadedLine> =>
  loadLine({ ...common, zoom, run, key, segment }, version, running);

/** Begins to load the lines of panels before they are drawn, so that the server works meanwhile. */
export async function preload(panels: Omit<PanelInput, "visible" | "wide">[]): Promise<void> {
  const loading = panels.flatMap((panel) => {
    const wanted = wantedOf(panel);
    const common = commonOf(panel.place, panel.view.axis, wanted.length, false);
    return wanted.filter(({ branch }) => !branch).map((each) => loadWanted(common, panel.view.zoom, each));
  });
  charts.flush();
  // The panel reports a failure.
  await Promise.allSettled(loading);
}

export class PanelLines {
  /** The error of the newest load; null if it succeeded. */
  error = $state<string | null>(null);
  /** Whether no line was loaded yet. */
  waiting = $derived.by(() => this.#loaded.size === 0 && this.#wanted.length > 0 && this.error === null);

  #input: PanelInput;
  #loaded = $state.raw<ReadonlyMap<string, LoadedLine>>(new Map());
  /** The view's axis that the loaded lines belong to. */
  #loadedAxis = $state<string | null>(null);
  /** The axis of all lines, because the runs define several. */
  #common = $state<string | null>(null);
  #attempt = $state(0);
  #smoothings = $state(0);
  #turn = 0;
  /** The request whose lines are known in full. */
  #full = "";

  #wanted = $derived.by((): Wanted[] => wantedOf(this.#input));
  #axis = $derived.by(() => this.#common ?? this.#input.view.axis);
  /** The x axis of the loaded lines. */
  axis = $derived.by(() => {
    if (this.#axis !== "") return this.#axis;
    for (const { axis } of this.#loaded.values()) if (axis !== null) return axis;
    return "_step";
  });
  /** The request without the zoom as a text: equal for equal requests, so that nothing else makes the panel load. */
  #request = $derived.by(() => {
    const common = commonOf(this.#input.place, this.#axis, this.#wanted.length, this.#input.wide);
    return JSON.stringify({ common, wanted: this.#wanted });
  });
  #zoom = $derived.by(() => {
    const { view } = this.#input;
    const known = this.#axis !== "" || this.#loadedAxis === this.#axis;
    return JSON.stringify(known ? zoomOf(view, this.axis) : view.zoom);
  });
  #smoothing = $derived.by(() => this.#input.view.smoothing ?? "");
  // Of their own: a new strength must not make all lines again before the worker has answered.
  #isSmooth = $derived.by(() => parseSmoothing(this.#smoothing) !== null);
  #aggregation = $derived.by(() => this.#input.view.aggregation ?? "last");

  /** The view of this moment, with the zoom of a movement that has not ended. */
  view = $derived.by(() => movingView(this.#input.view, this.axis));

  /** What is drawn: runs and metrics with their newest lines. */
  lines = $derived.by((): NamedLine[] => {
    void this.#smoothings;
    const { runs, metrics } = this.#input;
    if (this.#loadedAxis !== this.#axis) return [];
    const smoothing = this.#isSmooth;
    return runs.flatMap((run) =>
      metrics.flatMap((key, index) =>
        [null, ...(run.segment ? [] : (run.branches ?? []))].flatMap((branch): NamedLine[] => {
          const found = this.#loaded.get(`${run.id} ${key} ${branch ?? ""}`);
          if (found === undefined) return [];
          const line = this.#drawn(found.line);
          return [
            {
              id: metrics.length === 1 ? run.id : `${run.id} ${key}`,
              name: metrics.length === 1 ? run.name : runs.length === 1 ? key : `${run.name} · ${key}`,
              style: this.#styleOf(run, key, index),
              line,
              smoothed: smoothing ? smoothedOf(line) : null,
              ghost: branch !== null,
            },
          ];
        }),
      ),
    );
  });

  /** Call it while a component is set up. */
  constructor(input: PanelInput) {
    this.#input = input;
    $effect(() => {
      // Load failed charts again when the connection is back.
      if (live.connected) untrack(() => (this.#attempt += this.error === null ? 0 : 1));
    });
    $effect(() => {
      // Other runs or metrics may define one axis.
      void JSON.stringify([this.#input.metrics, this.#input.runs.map((run) => run.id), this.#input.view.axis]);
      untrack(() => (this.#common = null));
    });
    $effect(() => {
      void this.#attempt;
      if (this.#input.visible) void this.#load(this.#request, this.#zoom);
    });
    $effect(() => {
      if (this.#input.visible) this.#smooth();
    });
    $effect(() => () => forget(this));
  }

  /** Whether a run has values of a metric. */
  has(run: string): boolean {
    return this.#input.metrics.some((key) => (this.#loaded.get(`${run} ${key} `)?.line.x.length ?? 0) > 0);
  }

  /** Whether the runs define several axes, so that the panel has steps. */
  get mixed(): boolean {
    return this.#common !== null;
  }

  /** Returns the line with the values that the settings choose. */
  #drawn(line: Line): Line {
    return this.#aggregation === "last" ? line : aggregate(line, this.#aggregation);
  }

  retry(): void {
    this.#attempt += 1;
  }

  #styleOf(run: ChartRun, key: string, index: number): LineStyle {
    const { runs, metrics } = this.#input;
    if (metrics.length === 1) return run.style;
    return runs.length === 1 ? styleOf(key, theme.current) : { color: run.style.color, dash: dashOf(index) };
  }

  async #load(request: string, zoomText: string): Promise<void> {
    const mine = ++this.#turn;
    // A zoom into lines that are known in full shows no finer values.
    if (request === this.#full) return;
    const axis = untrack(() => this.#axis);
    const { common, wanted } = JSON.parse(request) as { common: Common; wanted: Wanted[] };
    const zoom = JSON.parse(zoomText) as Range | null;
    const done = activity.begin();
    try {
      const load = (some: Wanted[], x: string | null) => Promise.all(some.map((each) => loadWanted({ ...common, x }, zoom, each)));
      const found = await load(wanted.filter(({ branch }) => !branch), common.x);
      // A branch has the axis of the lines: the server names no axis for a segment.
      const over = common.x ?? found.find((each) => each.axis !== null)?.axis ?? null;
      found.push(...(await load(wanted.filter(({ branch }) => branch), over)));
      if (mine !== this.#turn) return;
      const axes = new Set(found.map((each) => each.axis).filter((each) => each !== null));
      // Lines over different axes cannot be compared in one chart.
      if (axes.size > 1) this.#common = "_step";
      else {
        const sorted = [...wanted].sort((a, b) => Number(a.branch) - Number(b.branch));
        this.#loaded = new Map(sorted.map(({ id }, i) => [id, found[i] ?? { line: NO_LINE, axis: null }]));
        this.#loadedAxis = axis;
        this.#full = zoom === null && found.every(({ line }) => line.buckets === null) ? request : "";
      }
      this.error = null;
    } catch (problem) {
      if (mine === this.#turn) this.error = messageOf(problem);
    } finally {
      setTimeout(done);
    }
  }

  #smooth(): void {
    const { logX = false, xRange: fixed } = this.#input.view;
    const zoom = zoomOf(this.#input.view, this.axis);
    const smoothing = parseSmoothing(this.#smoothing);
    const loaded = this.#loaded;
    void this.#aggregation;
    if (smoothing === null || loaded.size === 0) return;
    // The lines of each panel are copied for the worker in a task of their own.
    redraw(this, () => {
      const lines = [...loaded.values()].map((each) => this.#drawn(each.line));
      const range = xRange(xExtent(lines.map((line) => ({ line })), logX), zoom, this.axis, fixed, logX);
      const done = activity.begin();
      void smoothLines(lines, smoothing, range[1] - range[0]).then(() => {
        const stale = ({ line, smoothed }: NamedLine) => smoothed !== smoothedOf(line);
        if (this.lines.some(stale)) this.#smoothings += 1;
        setTimeout(done);
      });
    });
  }
}
