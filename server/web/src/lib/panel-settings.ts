// The settings of a panel, and how those of the workspace, the section and the panel combine.

export const PANEL_TYPES = ["line", "scatter", "parallel", "bars", "importance", "histogram", "media", "markdown"] as const;
export type PanelType = (typeof PANEL_TYPES)[number];

export const PANEL_NAMES: Record<PanelType, string> = {
  line: "Line chart",
  scatter: "Scatter plot",
  parallel: "Parallel coordinates",
  bars: "Bars or boxes",
  importance: "Parameter importance",
  histogram: "Histograms over steps",
  media: "Media of runs",
  markdown: "Text",
};

/** What the band around the mean of a group shows. */
export const BANDS = ["std", "stderr", "ci", "minmax", "none"] as const;
export type Band = (typeof BANDS)[number];
export const BAND_NAMES: Record<Band, string> = {
  std: "mean ± standard deviation",
  stderr: "mean ± standard error",
  ci: "mean ± 95% t-interval",
  minmax: "mean, minimum to maximum",
  none: "mean only",
};

/** The value that is drawn where a point contains several values, and for a group of runs. */
export const AGGREGATIONS = ["last", "mean", "min", "max"] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];
export const AGGREGATION_NAMES: Record<Aggregation, string> = {
  last: "Last value; mean of groups",
  mean: "Mean",
  min: "Minimum",
  max: "Maximum",
};

export type Range = [number | null, number | null];

/** How lines are drawn. A missing field is that of the section, then that of the workspace. */
export interface Look {
  /** The x axis; empty for the axis that the metric defines. */
  axis?: string;
  /** Kind and strength, such as `ema:0.6`; empty for none. */
  smoothing?: string;
  logX?: boolean;
  logY?: boolean;
  clip?: boolean;
  band?: Band;
  aggregation?: Aggregation;
  /** Pixels. */
  height?: number;
}

/** What a line panel can take from its section. */
export const LOOK_FIELDS = ["axis", "smoothing", "logX", "logY", "clip", "band", "aggregation", "xRange", "yRange"] as const;

export interface PanelSettings extends Look {
  type: PanelType;
  /** Empty for a title made from the content. */
  title: string;
  /** Keys of the history: lines, media or histograms. */
  metrics: string[];
  /** Pattern of more metrics; empty for none. */
  pattern: string;
  xRange?: Range;
  yRange?: Range;
  /** Fields of runs, such as `config.lr`: the axes of scatter plots and of parallel coordinates, or the target. */
  x: string;
  y: string;
  color: string;
  fields: string[];
  trend: boolean;
  boxes: boolean;
  /** The text of a Markdown panel. */
  text: string;
}

export const PANEL_DEFAULTS: Omit<PanelSettings, "type"> = {
  title: "",
  metrics: [],
  pattern: "",
  x: "",
  y: "",
  color: "",
  fields: [],
  trend: true,
  boxes: false,
  text: "",
};

export const HEIGHT = { usual: 240, least: 140, most: 900 };

/** Combines looks: a field of a later one wins. */
export function mergeLooks(...looks: (Look | undefined)[]): Look {
  const merged: Look = {};
  for (const look of looks) {
    for (const [name, value] of Object.entries(look ?? {})) {
      if (value !== undefined) Object.assign(merged, { [name]: value });
    }
  }
  return merged;
}

export interface Pattern {
  matches: (name: string) => boolean;
  /** Why the text is not a regular expression; null if it is one. */
  error: string | null;
}

/** Compiles a regular expression without regard to case. A wrong one matches all names and has an error. */
export function compilePattern(text: string): Pattern {
  const wanted = text.trim();
  if (wanted === "") return { matches: () => true, error: null };
  try {
    const pattern = new RegExp(wanted, "i");
    return { matches: (name) => pattern.test(name), error: null };
  } catch (problem) {
    const reason = problem instanceof Error ? problem.message.split(": ").at(-1) : "";
    return { matches: () => true, error: `Invalid pattern: ${reason}.` };
  }
}

/** Returns the metrics of a line panel: those of its list, then those that its pattern matches. */
export function metricsOf(settings: PanelSettings, known: string[]): string[] {
  if (settings.pattern.trim() === "") return settings.metrics;
  const { matches, error } = compilePattern(settings.pattern);
  return error === null ? [...new Set([...settings.metrics, ...known.filter(matches)])] : settings.metrics;
}

export function titleOfPanel(settings: PanelSettings): string {
  if (settings.title !== "") return settings.title;
  const short = (field: string) => field.replace(/^(summary|config)\./, "");
  switch (settings.type) {
    case "line":
    case "media":
    case "histogram":
      return [...settings.metrics, ...(settings.pattern === "" ? [] : [`/${settings.pattern}/`])].join(", ") || PANEL_NAMES[settings.type];
    case "scatter":
      return settings.x && settings.y ? `${short(settings.y)} by ${short(settings.x)}` : PANEL_NAMES.scatter;
    case "bars":
      return settings.y ? `${short(settings.y)}${settings.x === "" ? "" : ` by ${short(settings.x)}`}` : PANEL_NAMES.bars;
    case "importance":
      return settings.y ? `Importance for ${short(settings.y)}` : PANEL_NAMES.importance;
    default:
      return PANEL_NAMES[settings.type];
  }
}

const TEXTS = ["title", "pattern", "x", "y", "color", "text", "axis", "smoothing"] as const;
const FLAGS = ["trend", "boxes", "logX", "logY", "clip"] as const;
const LISTS = ["metrics", "fields"] as const;
const RANGES = ["xRange", "yRange"] as const;

/** Returns the valid fields of settings from a document. Documents can come from other versions. */
export function readSettings(given: unknown): Partial<PanelSettings> {
  if (typeof given !== "object" || given === null) return {};
  const from = given as Record<string, unknown>;
  const read: Record<string, unknown> = {};
  const keep = (name: string, valid: boolean) => {
    if (valid) read[name] = from[name];
  };
  const isList = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === "string");
  const isEnd = (value: unknown) => value === null || (typeof value === "number" && Number.isFinite(value));
  for (const name of TEXTS) keep(name, typeof from[name] === "string");
  for (const name of FLAGS) keep(name, typeof from[name] === "boolean");
  for (const name of LISTS) keep(name, isList(from[name]));
  for (const name of RANGES) {
    const range = from[name];
    keep(name, Array.isArray(range) && range.length === 2 && range.every(isEnd));
  }
  const height = from["height"];
  keep("height", typeof height === "number" && height >= HEIGHT.least && height <= HEIGHT.most);
  keep("aggregation", AGGREGATIONS.some((each) => each === from["aggregation"]));
  keep("band", BANDS.some((band) => band === from["band"]));
  keep("type", PANEL_TYPES.some((type) => type === from["type"]));
  return read as Partial<PanelSettings>;
}
