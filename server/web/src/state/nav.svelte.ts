// The displayed route. It always matches the address bar.
import { changeRoute, formatRoute, parseRoute, type ProjectRoute, type Route } from "../lib/route";

const read = (): Route => parseRoute(window.location.pathname, window.location.search);

let current = $state.raw<Route>(read());

export const nav = {
  get route(): Route {
    return current;
  },
};

/** Navigates to a route. `replace` adds no entry to the browser history. */
export function go(route: Route, replace = false): void {
  const url = formatRoute(route);
  if (replace) window.history.replaceState(null, "", url);
  else window.history.pushState(null, "", url);
  current = route;
}

/** Changes parts of the current project route. */
export function patch(change: Partial<Omit<ProjectRoute, "page">>, replace = false): void {
  if (current.page === "project") go(changeRoute(current, change), replace);
}

/** Returns the address of the current project route with some parts changed, for links. */
export function hrefWith(change: Partial<Omit<ProjectRoute, "page">>): string {
  return current.page === "project" ? formatRoute(changeRoute(current, change)) : "/";
}

function onClick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link || link.target !== "" || link.hasAttribute("download")) return;
  if (link.origin !== window.location.origin || link.pathname.startsWith("/api/")) return;
  event.preventDefault();
  go(parseRoute(link.pathname, link.search));
}

/** Makes plain links navigate without a page load, and handles back and forward. */
export function startNavigation(): () => void {
  const onPop = () => {
    current = read();
  };
  document.addEventListener("click", onClick);
  window.addEventListener("popstate", onPop);
  return () => {
    document.removeEventListener("click", onClick);
    window.removeEventListener("popstate", onPop);
  };
}
