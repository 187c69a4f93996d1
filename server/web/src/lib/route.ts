// Converts the address bar to a typed route and back. It does not depend on the page.

export const TABS = ["charts", "images", "tables", "artifacts", "config", "overview", "system", "logs"] as const;
export type Tab = (typeof TABS)[number];

export const AXES = ["_step", "_runtime", "_timestamp"] as const;

export interface ProjectRoute {
  page: "project";
  entity: string;
  project: string;
  run: string | null;
  /** The segment whose rows the charts of the run draw; null for the newest branch. */
  writer: string | null;
  tab: Tab;
  order: string;
  search: string;
  /** Runs drawn on the charts; null for the default, the newest ones. */
  shown: string[] | null;
  axis: string;
  zoom: [number, number] | null;
  /** Filter of metric names. */
  metric: string;
  /** `name:version` of the open artifact. */
  artifact: string | null;
}

/** The pages of people that do not belong to an entity or a project. */
const PEOPLE_PAGES = ["account", "users", "audit"] as const;
export type PeoplePage = (typeof PEOPLE_PAGES)[number];

/** The members of a project; of a whole entity if `project` is empty. */
export interface MembersRoute {
  page: "members";
  entity: string;
  project: string;
}

export type Route =
  | { page: "projects"; entity: string | null }
  | ProjectRoute
  | { page: PeoplePage }
  | MembersRoute
  | { page: "unknown"; path: string };

export const DEFAULT_ORDER = "-created_at";

export function projectRoute(entity: string, project: string): ProjectRoute {
  return {
    page: "project",
    entity,
    project,
    run: null,
    writer: null,
    tab: "charts",
    order: DEFAULT_ORDER,
    search: "",
    shown: null,
    axis: "_step",
    zoom: null,
    metric: "",
    artifact: null,
  };
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

function parseWriter(text: string | null): string | null {
  return text !== null && /^[0-9a-f]{32}$/.test(text) ? text : null;
}

function parseZoom(text: string | null): [number, number] | null {
  const parts = (text ?? "").split("~");
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
  const people = PEOPLE_PAGES.find((page) => segments.length === 1 && entity === `:${page}`);
  if (people !== undefined) return { page: people };
  if (segments.length <= 3 && segments.at(-1) === ":members" && project !== undefined) {
    return { page: "members", entity, project: segments.length === 3 ? project : "" };
  }
  if (project === undefined) return { page: "projects", entity };
  if (segments.length > 2) return { page: "unknown", path };
  const params = new URLSearchParams(query);
  const tab = params.get("tab") as Tab;
  const shown = params.get("show");
  return {
    page: "project",
    entity,
    project,
    run: params.get("run") || null,
    writer: parseWriter(params.get("writer")),
    tab: TABS.includes(tab) ? tab : "charts",
    order: params.get("order") || DEFAULT_ORDER,
    search: params.get("q") ?? "",
    shown: shown === null ? null : shown.split(",").filter((id) => id !== ""),
    axis: params.get("x") || "_step",
    zoom: parseZoom(params.get("zoom")),
    metric: params.get("metric") ?? "",
    artifact: params.get("artifact") || null,
  };
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
  if (route.run !== null) params.set("run", route.run);
  if (route.writer !== null) params.set("writer", route.writer);
  if (route.tab !== "charts") params.set("tab", route.tab);
  if (route.order !== DEFAULT_ORDER) params.set("order", route.order);
  if (route.search !== "") params.set("q", route.search);
  if (route.shown !== null) params.set("show", route.shown.join(","));
  if (route.axis !== "_step") params.set("x", route.axis);
  if (route.zoom !== null) params.set("zoom", route.zoom.join("~"));
  if (route.metric !== "") params.set("metric", route.metric);
  if (route.artifact !== null) params.set("artifact", route.artifact);
  const query = params.toString();
  return `/${encodeURIComponent(route.entity)}/${encodeURIComponent(route.project)}${query === "" ? "" : `?${query}`}`;
}

/** Returns the title of a page. */
export function titleOf(route: Route): string {
  switch (route.page) {
    case "project":
      return `${route.run ?? route.project} · ${route.entity}/${route.project} · tracker`;
    case "members":
      return `Members · ${route.project === "" ? "" : `${route.project} · `}${route.entity} · tracker`;
    case "account":
      return "Account · tracker";
    case "users":
      return "Users · tracker";
    case "audit":
      return "Audit log · tracker";
    default:
      return "tracker";
  }
}

/** Returns a route with some parts changed. A change of the run selects its newest branch. */
export function changeRoute(route: ProjectRoute, change: Partial<Omit<ProjectRoute, "page">>): ProjectRoute {
  const elsewhere = change.run !== undefined && change.run !== route.run;
  return { ...route, ...(elsewhere ? { writer: null } : {}), ...change };
}

export interface Order {
  column: string;
  descending: boolean;
}

export function parseOrder(order: string): Order {
  return order.startsWith("-") ? { column: order.slice(1), descending: true } : { column: order, descending: false };
}

/**
 * Returns the order after a click on a column header: text starts ascending, numbers and times descending.
 */
export function nextOrder(order: string, column: string): string {
  const now = parseOrder(order);
  if (now.column === column) return now.descending ? column : `-${column}`;
  return column === "name" || column === "state" ? column : `-${column}`;
}
