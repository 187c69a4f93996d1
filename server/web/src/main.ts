// Entry point. It mounts the page, and lets browser tests wait until the page is idle.
import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { activity } from "./state/services";
import { startTheme } from "./state/theme.svelte";

declare global {
  interface Window {
    /** Resolves when the long poll is the only pending request and all charts are drawn. */
    trackerIdle: () => Promise<void>;
  }
}

window.trackerIdle = () => activity.idle();

startTheme();
const target = document.getElementById("app");
if (target !== null) mount(App, { target });
