// Fails if a page needs more JavaScript than its limit, or if a chunk that is loaded on demand is larger than its limit.
// All sizes are gzip sizes.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const KB = 1024;
// Pages: the sources that the page loads before it shows something, each with its static imports.
const PAGES = [
  // 41 and not 40 since the page of the status: a build differs by 0.02 KB, with the names of its files.
  { name: "list of projects", sources: ["index.html", "src/views/Projects.svelte"], limit: 41 },
  {
    name: "workspace before the first chart",
    sources: ["index.html", "src/views/Project.svelte", "src/views/workspace/Workspace.svelte"],
    contains: "u-over", // uPlot, which draws the chart
    limit: 115,
  },
  { name: "reference of the API", sources: ["reference.html"], limit: 500 },
];
const CHUNK_LIMIT = 40;
// Larger chunks, by the source or by the text after "_" in the manifest, with the reason.
const LARGE = {
  "src/components/TextDifference.svelte": { limit: 95, reason: "CodeMirror's merge view, loaded to compare two texts" },
  cpp: { limit: 60, reason: "shiki's grammar of C++, which other grammars share" },
  highlight: { limit: 130, reason: "shiki with its two themes, loaded to show code; each language is a chunk of its own" },
};
/** Grammars of shiki: each is loaded for its language only. The largest is C++. */
const GRAMMAR = /node_modules\/(@shikijs\/langs|shiki)\//;
const GRAMMAR_LIMIT = 60;

const out = new URL("../../static/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", out), "utf8"));
const sizes = new Map();
const read = (file) => readFileSync(new URL(file, out));
function gzipKilobytes(file) {
  if (!sizes.has(file)) sizes.set(file, gzipSync(read(file), { level: 9 }).length / KB);
  return sizes.get(file);
}

function staticFiles(name, seen = new Set()) {
  const chunk = manifest[name];
  if (chunk === undefined) throw new Error(`${name} is not in the manifest. Build first, or correct PAGES.`);
  if (seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const imported of chunk.imports ?? []) staticFiles(imported, seen);
  return seen;
}

const wrong = [];
function report(label, size, limit, note = "") {
  const verdict = size > limit ? "TOO LARGE" : "ok";
  if (size > limit) wrong.push(label);
  console.log(`${label.padEnd(48)} ${size.toFixed(1).padStart(6)} KB (limit ${limit} KB) ${verdict}${note && ` - ${note}`}`);
}

const inPages = new Set();
for (const { name, sources, contains, limit } of PAGES) {
  const files = new Set();
  for (const source of sources) staticFiles(source, files);
  if (contains !== undefined && ![...files].some((file) => read(file).includes(contains))) {
    wrong.push(`${name}: no file contains ${contains}`);
  }
  for (const file of files) inPages.add(file);
  report(name, [...files].reduce((sum, file) => sum + gzipKilobytes(file), 0), limit);
}
console.log("\nloaded on demand:");
for (const [name, chunk] of Object.entries(manifest).sort()) {
  if (!chunk.file.endsWith(".js") || inPages.has(chunk.file)) continue;
  const large = LARGE[name] ?? LARGE[chunk.name];
  const limit = large?.limit ?? (GRAMMAR.test(name) ? GRAMMAR_LIMIT : CHUNK_LIMIT);
  report(chunk.file.replace("assets/", ""), gzipKilobytes(chunk.file), limit, large?.reason);
}
if (wrong.length > 0) {
  console.error(`\nToo large in ${fileURLToPath(out)}: ${wrong.join(", ")}. Load the new part on demand, or raise the limit and give a reason.`);
  process.exit(1);
}
