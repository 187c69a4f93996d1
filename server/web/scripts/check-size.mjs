// Fails if the code for the first paint (the entry chunk and its static imports), or any lazily
// loaded chunk, is larger than its gzip limit.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const ENTRY_LIMIT = 45 * 1024; // Svelte's runtime takes about 15 KB, the frame of the page the rest.
const REFERENCE = "reference.html";
const REFERENCE_LIMIT = 500 * 1024; // Swagger UI; only the page of the API reference loads it.
const LAZY_LIMIT = 60 * 1024; // The largest lazy chunk contains uPlot (22 KB).

const out = new URL("../../static/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", out), "utf8"));
const gzipSize = (file) => gzipSync(readFileSync(new URL(file, out)), { level: 9 }).length;

function staticFiles(name, seen = new Set()) {
  const chunk = manifest[name];
  if (seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const imported of chunk.imports ?? []) staticFiles(imported, seen);
  return seen;
}

let failed = false;
function report(label, size, limit) {
  const verdict = size > limit ? "TOO LARGE" : "ok";
  if (size > limit) failed = true;
  console.log(`${label.padEnd(44)} ${(size / 1024).toFixed(1).padStart(6)} KB gzip (limit ${limit / 1024} KB) ${verdict}`);
}

for (const [name, chunk] of Object.entries(manifest)) {
  if (!chunk.file.endsWith(".js")) continue;
  if (chunk.isEntry) {
    const size = [...staticFiles(name)].reduce((sum, file) => sum + gzipSize(file), 0);
    report(`entry ${name} with its static imports`, size, name === REFERENCE ? REFERENCE_LIMIT : ENTRY_LIMIT);
  } else {
    report(chunk.file, gzipSize(chunk.file), LAZY_LIMIT);
  }
}
if (failed) {
  console.error(`A chunk in ${fileURLToPath(out)} exceeds its limit. Load the new part lazily, or raise the limit and give a reason.`);
  process.exit(1);
}
