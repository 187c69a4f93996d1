// The lines of one panel: loaded while the panel is on screen, loaded again for changed runs only, and smoothed.
import { untrack } from "svelte";
import { dashOf, styleOf, type LineStyle } from "../lib/colors";
import { NO_LINE } from "../lib/lines";
import { parseSmoothing } from "../lib/smoothing";
import { live } from "../state/live.svelte";
import { activity, messageOf } from "../state/services";
import { theme } from "../state/theme.svelte";
import { loadLine, type LoadedLine } from "./line-cache";
import { xExtent, xRange, zoomOf, type ChartView, type NamedLine } from "./model";
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

export interface PanelInput {
  entity: string;
  project: string;
  metrics: string[];
  runs: ChartRun[];
  view: ChartView;
  visible: boolean;
  /** Width of the chart in CSS pixels. */
  width: number;
}

/** A server puts lines with more values than this into buckets: about the width of a chart in device pixels. */
const POINTS = 1000;
/** In a crowd of lines, and with less room for each, fewer points do. */
const CROWD = 20;
const CROWDED_POINTS = 500;
const WIDE = 900;
/** The steps of extremes are shown for at most this many lines. */
const EXPLAINED = 3;

interface Wanted {
  id: string;
  run: string;
  key: string;
  segment: string | null;
  version: number;
  running: boolean;
}

export class PanelLines {
  /** The error of the newest load; null if it succeeded. */
  error = $state<string | null>(null);
  /** Whether no line was loaded yet. */
  waiting = $derived.by(() => this.#loaded.size === 0 && this.#wanted.length > 0 && this.error === null);

  #input: () => PanelInput;
  #loaded = $state.raw<ReadonlyMap<string, LoadedLine>>(new Map());
  /** The view's axis that the loaded lines belong to. */
  #loadedAxis = $state<string | null>(null);
  /** The axis of all lines, because the runs define several. */
  #common = $state<string | null>(null);
  #attempt = $state(0);
  #smoothings = $state(0);
  #turn = 0;

  #wanted = $derived.by((): Wanted[] =>
    this.#input().runs.flatMap((run) =>
      this.#input().metrics.flatMap((key) =>
        [run.segment ?? null, ...(run.segment ? [] : (run.branches ?? []))].map((segment, i) => ({
          id: `${run.id} ${key} ${i === 0 ? "" : segment}`,
          run: run.id,
          key,
          segment,
          version: i === 0 ? run.version : 0,
          running: run.running === true,
        })),
      ),
    ),
  );
  #axis = $derived.by(() => this.#common ?? this.#input().view.axis);
  /** The x axis of the loaded lines. */
  axis = $derived.by(() => {
    if (this.#axis !== "") return this.#axis;
    for (const { axis } of this.#loaded.values()) if (axis !== null) return axis;
    return "_step";
  });
  /** The request as a text: equal for equal requests, so that nothing else makes the panel load again. */
  #request = $derived.by(() => {
    const { entity, project, view, width } = this.#input();
    const known = this.#axis !== "" || this.#loadedAxis === this.#axis;
    const zoom = known ? zoomOf(view, this.axis) : view.zoom;
    const count = this.#wanted.length;
    const points = count > CROWD ? CROWDED_POINTS : width > WIDE ? 2 * POINTS : POINTS;
    return JSON.stringify({ entity, project, x: this.#axis || null, zoom, points, steps: count <= EXPLAINED });
  });
  #wantedText = $derived.by(() => JSON.stringify(this.#wanted));

  /** The view of this moment, with the zoom of a movement that has not ended. */
  view = $derived.by(() => movingView(this.#input().view, this.axis));

  /** What is drawn: runs and metrics with their newest lines. */
  lines = $derived.by((): NamedLine[] => {
    void this.#smoothings;
    const { runs, metrics, view } = this.#input();
    if (this.#loadedAxis !== this.#axis) return [];
    const smoothing = parseSmoothing(view.smoothing ?? "") !== null;
    return runs.flatMap((run) =>
      metrics.flatMap((key, index) =>
        [null, ...(run.segment ? [] : (run.branches ?? []))].flatMap((branch): NamedLine[] => {
          const found = this.#loaded.get(`${run.id} ${key} ${branch ?? ""}`);
          if (found === undefined) return [];
          const { line } = found;
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
  constructor(input: () => PanelInput) {
    this.#input = input;
    $effect(() => {
      // Load failed charts again when the connection is back.
      if (live.connected) untrack(() => (this.#attempt += this.error === null ? 0 : 1));
    });
    $effect(() => {
      // Other runs or metrics may define one axis.
      void JSON.stringify([this.#input().metrics, this.#input().runs.map((run) => run.id), this.#input().view.axis]);
      untrack(() => (this.#common = null));
    });
    $effect(() => {
      void this.#attempt;
      if (this.#input().visible) void this.#load(this.#request, this.#wantedText);
    });
    $effect(() => {
      if (this.#input().visible) this.#smooth();
    });
  }

  retry(): void {
    this.#attempt += 1;
  }

  #styleOf(run: ChartRun, key: string, index: number): LineStyle {
    const { runs, metrics } = this.#input();
    if (metrics.length === 1) return run.style;
    return runs.length === 1 ? styleOf(key, theme.current) : { color: run.style.color, dash: dashOf(index) };
  }

  async #load(request: string, wantedText: string): Promise<void> {
    const mine = ++this.#turn;
    const axis = untrack(() => this.#axis);
    const common = JSON.parse(request) as Omit<Parameters<typeof loadLine>[0], "run" | "key" | "segment">;
    const wanted = JSON.parse(wantedText) as Wanted[];
    const done = activity.begin();
    try {
      const found = await Promise.all(
        wanted.map(({ run, key, segment, version, running }) =>
          loadLine({ ...common, run, key, segment }, version, running),
        ),
      );
      if (mine !== this.#turn) return;
      const axes = new Set(found.map((each) => each.axis).filter((each) => each !== null));
      // Lines over different axes cannot be compared in one chart.
      if (axes.size > 1) this.#common = "_step";
      else {
        this.#loaded = new Map(wanted.map(({ id }, i) => [id, found[i] ?? { line: NO_LINE, axis: null }]));
        this.#loadedAxis = axis;
      }
      this.error = null;
    } catch (problem) {
      if (mine === this.#turn) this.error = messageOf(problem);
    } finally {
      setTimeout(done);
    }
  }

  #smooth(): void {
    const { view } = this.#input();
    const smoothing = parseSmoothing(view.smoothing ?? "");
    if (smoothing === null || this.#loaded.size === 0) return;
    const lines = [...this.#loaded.values()].map((each) => each.line);
    const logX = view.logX === true;
    const range = xRange(xExtent(lines.map((line) => ({ line })), logX), zoomOf(view, this.axis), this.axis, view.xRange, logX);
    const done = activity.begin();
    void smoothLines(lines, smoothing, range[1] - range[0]).then(() => {
      this.#smoothings += 1;
      setTimeout(done);
    });
  }
}
