// Entry point. It mounts the page, and lets browser tests wait until the page is idle.
import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { nav } from "./state/nav.svelte";
import { activity } from "./state/services";
import { startTheme } from "./state/theme.svelte";

declare global {
  interface Window {
    /** Resolves when the long poll is the only pending request and all charts are drawn. */
    trackerIdle: () => Promise<void>;
  }
}

window.trackerIdle = () => activity.idle();

// The code of the first page loads together with the first requests. The page reports a failure.
const { route } = nav;
if (route.page === "project") {
  const parts: Promise<unknown>[] = [import("./views/Project.svelte")];
  if (route.run === null) parts.push(route.tab === "runs" ? import("./views/runs/RunsTable.svelte") : import("./views/workspace/Workspace.svelte"));
  void Promise.allSettled(parts);
}

startTheme();
const target = document.getElementById("app");
if (target !== null) mount(App, { target });
