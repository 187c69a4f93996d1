// Builds the dashboard and the API reference into server/static. `npm run dev` forwards API requests to a
// server on port 8080.
import { readFileSync } from "node:fs";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/** Adds the notices of the libraries inside Swagger UI, which `license` below does not see. */
const swaggerNotices: Plugin = {
  name: "swagger-notices",
  generateBundle() {
    const read = (name: string) => readFileSync(`node_modules/swagger-ui-dist/${name}`, "utf8");
    const source = `${read("NOTICE")}\n${read("swagger-ui-es-bundle.js.LICENSE.txt")}`;
    this.emitFile({ type: "asset", fileName: "swagger-ui-notices.txt", source });
  },
};

export default defineConfig(({ command }) => ({
  plugins: [svelte(), swaggerNotices],
  // The server replaces the start of each address "./..." in a page by its own path. See state/root.ts.
  base: command === "build" ? "./" : "/",
  // Tests of components mount them in happy-dom: they need the part of Svelte for browsers.
  ...(process.env["VITEST"] ? { resolve: { conditions: ["browser"] } } : {}),
  build: {
    rolldownOptions: { input: { index: "index.html", reference: "reference.html" } },
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    manifest: "manifest.json",
    // The licences of everything that is in the built files; part of the wheel.
    license: { fileName: "third-party-licenses.md" },
    // Swagger UI is larger than vite's limit. `npm run size` checks the sizes.
    chunkSizeWarningLimit: 2048,
  },
  server: { proxy: { "/api": process.env["TRACKER_URL"] ?? "http://127.0.0.1:8080" } },
}));
