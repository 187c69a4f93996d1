// The displayed route. It always matches the address bar.
import { changeRoute, formatRoute, parseRoute, type ProjectRoute, type Route } from "../lib/route";
import { root } from "./root";

const routeAt = (place: { pathname: string; search: string }): Route =>
  parseRoute(place.pathname.slice(root.length), place.search);

/** Returns the address of a route, for links. */
export const hrefTo = (route: Route): string => root + formatRoute(route);

/** The address of the list of all projects. */
export const home = `${root}/`;

let current = $state.raw<Route>(routeAt(window.location));

export const nav = {
  get route(): Route {
    return current;
  },
};

/** Navigates to a route. `replace` adds no entry to the browser history. */
export function go(route: Route, replace = false): void {
  const url = hrefTo(route);
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
  return current.page === "project" ? hrefTo(changeRoute(current, change)) : home;
}

function onClick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link || link.target !== "" || link.rel === "external" || link.hasAttribute("download")) return;
  if (link.origin !== window.location.origin || !link.pathname.startsWith(home)) return;
  if (link.pathname.startsWith(`${root}/api/`)) return;
  event.preventDefault();
  go(routeAt(link));
}

/** Makes plain links navigate without a page load, and handles back and forward. */
export function startNavigation(): () => void {
  const onPop = () => {
    current = routeAt(window.location);
  };
  document.addEventListener("click", onClick);
  window.addEventListener("popstate", onPop);
  return () => {
    document.removeEventListener("click", onClick);
    window.removeEventListener("popstate", onPop);
  };
}
