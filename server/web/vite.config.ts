// Builds the dashboard into server/static. `npm run dev` forwards API requests to a server on port 8080.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    manifest: "manifest.json",
    // The licences of everything that is in the built files; part of the wheel.
    license: { fileName: "third-party-licenses.md" },
  },
  server: { proxy: { "/api": process.env["TRACKER_URL"] ?? "http://127.0.0.1:8080" } },
});
