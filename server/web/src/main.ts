// Entry: mounts the page and offers browser tests a way to wait until it is idle.
import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { activity } from "./state/services";
import { startTheme } from "./state/theme.svelte";

declare global {
  interface Window {
    /** Resolves when no request but the long poll is pending and the charts are drawn. */
    trackerIdle: () => Promise<void>;
  }
}

window.trackerIdle = () => activity.idle();

startTheme();
const target = document.getElementById("app");
if (target !== null) mount(App, { target });
