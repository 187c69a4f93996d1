// Saved views of a workspace: its layout, and the parts of the address that belong to it.
import { formatRoute, parseRoute, projectRoute, type ProjectRoute } from "./route";
import { readLayout, type Layout } from "./workspace-layout";

/** The parts of an address that a view stores. The others, such as the zoom, belong to one look at it. */
export const VIEW_PARTS = [
  ...(["order", "search", "group", "shown", "hidden", "pinned", "baseline", "color"] as const),
  ...(["axis", "smoothing", "logX", "logY", "clip"] as const),
] satisfies (keyof ProjectRoute)[];

export interface ViewContent {
  layout: Layout;
  /** Parts of the address, as its query. */
  query: string;
}

/** The value of `view` in an address that chooses the layout without a view although the project has a default. */
export const NO_VIEW = "-";

const only = (route: ProjectRoute): ProjectRoute => {
  const parts = Object.fromEntries(VIEW_PARTS.map((part) => [part, route[part]]));
  return { ...projectRoute(route.entity, route.project), ...parts };
};

/** Returns the parts of a route that a view stores, as a query. */
export function viewQuery(route: ProjectRoute): string {
  const address = formatRoute(only(route));
  const at = address.indexOf("?");
  return at === -1 ? "" : address.slice(at + 1);
}

/** Returns the changes of a route that a view makes. A part that the address already has stays. */
export function viewChange(route: ProjectRoute, query: string): Partial<ProjectRoute> {
  const usual = projectRoute(route.entity, route.project);
  const parsed = parseRoute(`/e/p`, query);
  if (parsed.page !== "project") return {};
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const changed = VIEW_PARTS.filter((part) => same(route[part], usual[part]) && !same(parsed[part], usual[part]));
  return Object.fromEntries(changed.map((part) => [part, parsed[part]]));
}

/** Returns the parts of a view without any choice, to open another view. */
export function plainParts(): Partial<ProjectRoute> {
  const usual = projectRoute("", "");
  return Object.fromEntries(VIEW_PARTS.map((part) => [part, usual[part]]));
}

/** Reads the content of a document. It never throws. */
export function readView(content: unknown): ViewContent {
  const given = (typeof content === "object" && content !== null ? content : {}) as Record<string, unknown>;
  return { layout: readLayout(given["layout"]), query: typeof given["query"] === "string" ? given["query"] : "" };
}

/** JSON text that is equal for equal values, whatever the order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

export function isSameView(a: ViewContent, b: ViewContent): boolean {
  return canonical(a) === canonical(b);
}
