// Converts the address bar to a typed route and back. It does not depend on the page.

/** The tabs of a project, and those of a run. */
export const PROJECT_TABS = ["charts", "runs", "compare", "artifacts"] as const;
export const RUN_TABS = [
  "charts",
  "overview",
  "system",
  "logs",
  "images",
  "tables",
  "artifacts",
  "files",
  "code",
  "config",
] as const;
const TABS = [...new Set([...PROJECT_TABS, ...RUN_TABS])];
export type Tab = (typeof TABS)[number];

export const ARTIFACT_SECTIONS = ["files", "about", "difference", "lineage", "registry"] as const;
export type ArtifactSection = (typeof ARTIFACT_SECTIONS)[number];

export const AXES = ["_step", "_runtime", "_timestamp"] as const;
export const AXIS_NAMES: Record<string, string> = { _step: "Step", _runtime: "Run time", _timestamp: "Wall time" };

/** Runs on the charts: the first of those that match, all that match, or chosen by hand. */
export type Shown = null | "all" | string[];

export interface ProjectRoute {
  page: "project";
  entity: string;
  project: string;
  run: string | null;
  /** What the charts of the run draw: a segment, `each` rank, or the `first` rank; null for the mean of its ranks. */
  writer: string | null;
  tab: Tab;
  /** Keys of the order, separated by commas; a leading `-` reverses the order of a key. */
  order: string;
  /** The query of the list of runs. */
  search: string;
  /** Keys by which runs are grouped; with a leading `-`, all keys of the config but these. */
  group: string[];
  shown: Shown;
  /** Runs that are not drawn although they match. */
  hidden: string[];
  /** Runs that are always drawn, and first in the table. */
  pinned: string[];
  /** The run that the others are compared with. */
  baseline: string | null;
  /** What decides the colour of a line: empty for the run, `group`, or `config.KEY`. */
  color: string;
  /** Runs on the page that compares runs. */
  compare: string[];
  /** The x axis of all charts; empty for the axis that each metric defines. */
  axis: string;
  zoom: [number, number] | null;
  /** The x axis that the zoom belongs to; empty for `axis` or `_step`. */
  zoomAxis: string;
  /** Filter of metric names. */
  metric: string;
  /** Kind and strength of smoothing, such as `ema:0.6`; empty for none. */
  smoothing: string;
  logX: boolean;
  logY: boolean;
  /** Whether outliers may be outside the value axis. */
  clip: boolean;
  /** The panel that fills the page. */
  panel: string | null;
  /** Whether the page consists of this panel only, for frames. */
  embed: boolean;
  /** The saved view that this address begins from. */
  view: string | null;
  /** The step of media and tables. */
  step: number | null;
  /** The key of media, of a table or of a chart that the page scrolls to. */
  key: string | null;
  /** The order, filters and groups of the rows of this table: see `table-query.ts`. */
  rows: string;
  /** The text or pattern to find in the output. */
  find: string;
  /** Whether this text is a regular expression. */
  regex: boolean;
  /** The stream of the output: `stdout` or `stderr`; empty for both. */
  stream: string;
  /** `name:version` of the open artifact, or `name` of a collection. */
  artifact: string | null;
  /** The part of the page of an artifact; without an artifact, `registry` is the registry of the entity. */
  section: ArtifactSection;
  /** The version with which the open artifact is compared. */
  against: string | null;
  /** A path inside the open artifact, or in the files of the run. */
  path: string;
}

/** The pages of people that do not belong to an entity or a project, with their names. */
export const PEOPLE_PAGES = { account: "Account", users: "Users", audit: "Audit log", status: "Status" } as const;
export type PeoplePage = keyof typeof PEOPLE_PAGES;

/** The members of a project; of a whole entity if `project` is empty. */
export interface MembersRoute {
  page: "members";
  entity: string;
  project: string;
}

export const DEFAULT_ORDER = "-created_at";

export type Route =
  | { page: "projects"; entity: string | null }
  | ProjectRoute
  | { page: PeoplePage }
  | MembersRoute
  | { page: "unknown"; path: string };

type Parts = Omit<ProjectRoute, "page" | "entity" | "project">;

/** How one part of a project's address is written: its parameter, its default, and both directions. */
interface Codec<T> {
  parameter: string;
  fallback: T;
  /** Returns the default for an invalid text. */
  parse: (text: string) => T;
  /** Returns null for a part that the address leaves out. */
  format: (value: T) => string | null;
}

const text = <T extends string | null>(parameter: string, fallback: T): Codec<T | string> => ({
  parameter,
  fallback,
  parse: (given) => given || fallback,
  format: (value) => (value === fallback ? null : value),
});
const flag = (parameter: string): Codec<boolean> => ({
  parameter,
  fallback: false,
  parse: (given) => given === "1",
  format: (value) => (value ? "1" : null),
});
const splitNames = (given: string) => given.split(",").filter((name) => name !== "").map(decode);
const joinNames = (names: string[]) => names.map((name) => name.replace(/[%,]/g, encodeURIComponent)).join(",");
const names = (parameter: string): Codec<string[]> => ({
  parameter,
  fallback: [],
  parse: splitNames,
  format: (value) => (value.length === 0 ? null : joinNames(value)),
});

const CODECS: { [K in keyof Parts]: Codec<Parts[K]> } = {
  run: text("run", null),
  writer: text("writer", null),
  tab: {
    parameter: "tab",
    fallback: "charts",
    parse: (given) => TABS.find((tab) => tab === given) ?? "charts",
    format: (tab) => (tab === "charts" ? null : tab),
  },
  order: text("order", DEFAULT_ORDER),
  search: text("q", ""),
  group: names("group"),
  shown: {
    parameter: "show",
    fallback: null,
    parse: (given) => (given === "*" ? "all" : splitNames(given)),
    format: (shown) => (shown === null ? null : shown === "all" ? "*" : joinNames(shown)),
  },
  hidden: names("hide"),
  pinned: names("pin"),
  baseline: text("baseline", null),
  color: text("color", ""),
  compare: names("runs"),
  axis: text("x", ""),
  zoom: {
    parameter: "zoom",
    fallback: null,
    parse: parseZoom,
    format: (zoom) => zoom && zoom.join("~"),
  },
  zoomAxis: text("zoomx", ""),
  metric: text("metric", ""),
  smoothing: text("smooth", ""),
  logX: flag("logx"),
  logY: flag("logy"),
  clip: flag("clip"),
  panel: text("panel", null),
  embed: flag("embed"),
  view: text("view", null),
  step: {
    parameter: "step",
    fallback: null,
    parse: (given) => (/^\d{1,15}$/.test(given) ? Number(given) : null),
    format: (step) => (step === null ? null : String(step)),
  },
  key: text("key", null),
  rows: text("rows", ""),
  find: text("find", ""),
  regex: flag("regex"),
  stream: text("stream", ""),
  artifact: text("artifact", null),
  section: {
    parameter: "section",
    fallback: "files",
    parse: (given) => ARTIFACT_SECTIONS.find((section) => section === given) ?? "files",
    format: (section) => (section === "files" ? null : section),
  },
  against: text("against", null),
  path: text("path", ""),
};
const PARTS = Object.entries(CODECS) as [keyof Parts, Codec<unknown>][];

export function projectRoute(entity: string, project: string): ProjectRoute {
  const parts = Object.fromEntries(PARTS.map(([part, { fallback }]) => [part, fallback]));
  return { page: "project", entity, project, ...(parts as unknown as Parts) };
}

/** Returns the route to the artifact `entity/project/name:version`; null if the name has another form. */
export function artifactRoute(name: string): ProjectRoute | null {
  const [entity, project, artifact, ...rest] = name.split("/");
  if (!entity || !project || !artifact || rest.length > 0) return null;
  return { ...projectRoute(entity, project), tab: "artifacts", artifact };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function parseZoom(text: string): [number, number] | null {
  const parts = text.split("~");
  if (parts.length !== 2 || parts.some((part) => part === "")) return null;
  const [low, high] = parts.map(Number) as [number, number];
  return Number.isFinite(low) && Number.isFinite(high) && low < high ? [low, high] : null;
}

/** Parses an address. It never throws: invalid parts become defaults. */
export function parseRoute(path: string, query: string): Route {
  const segments = path.split("/").filter((part) => part !== "").map(decode);
  const [entity, project] = segments;
  if (entity === undefined) return { page: "projects", entity: null };
  // Names of entities and projects have no colon.
  const people = (Object.keys(PEOPLE_PAGES) as PeoplePage[]).find((page) => entity === `:${page}`);
  if (people !== undefined) return { page: people };
  if (segments.length <= 3 && segments.at(-1) === ":members" && project !== undefined) {
    return { page: "members", entity, project: segments.length === 3 ? project : "" };
  }
  if (project === undefined) return { page: "projects", entity };
  if (segments.length > 2) return { page: "unknown", path };
  const params = new URLSearchParams(query);
  const parts: Partial<Record<keyof Parts, unknown>> = {};
  for (const [part, { parameter, parse }] of PARTS) {
    const given = params.get(parameter);
    if (given !== null) parts[part] = parse(given);
  }
  return { ...projectRoute(entity, project), ...(parts as Partial<Parts>) };
}

/** Returns the address of a route. Defaults are omitted, so that addresses stay short. */
export function formatRoute(route: Route): string {
  if (route.page === "unknown") return route.path;
  if (route.page === "members") {
    return `/${[route.entity, route.project].filter((name) => name !== "").map(encodeURIComponent).join("/")}/:members`;
  }
  if (route.page === "projects") return route.entity === null ? "/" : `/${encodeURIComponent(route.entity)}`;
  if (route.page !== "project") return `/:${route.page}`;
  const params = new URLSearchParams();
  for (const [part, { parameter, format }] of PARTS) {
    const written = format(route[part]);
    if (written !== null) params.set(parameter, written);
  }
  const query = params.toString();
  return `/${encodeURIComponent(route.entity)}/${encodeURIComponent(route.project)}${query === "" ? "" : `?${query}`}`;
}

/** Returns the title of a page. */
export function titleOf(route: Route): string {
  switch (route.page) {
    case "project":
      return `${route.run ?? route.artifact ?? route.project} · ${route.entity}/${route.project} · tracker`;
    case "members":
      return `Members · ${route.project === "" ? "" : `${route.project} · `}${route.entity} · tracker`;
  }
  const name = (PEOPLE_PAGES as Partial<Record<Route["page"], string>>)[route.page];
  return `${name === undefined ? "" : `${name} · `}tracker`;
}

/** The parts that belong to one artifact. */
const OF_ARTIFACT = { section: "files", against: null, path: "" } as const;

/** Returns a route with some parts changed. A change of the run selects its newest branch, one of the artifact its files. */
export function changeRoute(route: ProjectRoute, change: Partial<Omit<ProjectRoute, "page">>): ProjectRoute {
  const elsewhere = change.run !== undefined && change.run !== route.run;
  const other = change.artifact !== undefined && change.artifact !== route.artifact;
  return { ...route, ...(elsewhere ? { writer: null, rows: "", path: "" } : {}), ...(other ? OF_ARTIFACT : {}), ...change };
}
