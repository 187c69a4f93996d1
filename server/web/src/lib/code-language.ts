// The language of a file by its name, for the highlighting of code; and how a file can be shown.

const BY_ENDING: Record<string, string> = {
  py: "python", pyi: "python", json: "json", jsonl: "json", ipynb: "json", yaml: "yaml", yml: "yaml", toml: "toml",
  sh: "shellscript", bash: "shellscript", diff: "diff", patch: "diff", md: "markdown", js: "javascript",
  mjs: "javascript", ts: "typescript", c: "c", h: "c", cc: "cpp", cpp: "cpp", cu: "cpp", hpp: "cpp", rs: "rust",
  go: "go", java: "java", jl: "julia", r: "r", sql: "sql", html: "html", xml: "xml", css: "css", ini: "ini",
  cfg: "ini", conf: "ini", lua: "lua",
}; // prettier-ignore
const BY_NAME: Record<string, string> = { Dockerfile: "docker", Makefile: "make" };

const nameOf = (path: string) => path.split("/").at(-1) ?? path;

/** Returns the name of a language that `highlight.ts` knows; null for plain text. */
export function languageOf(path: string): string | null {
  const name = nameOf(path);
  return BY_NAME[name] ?? BY_ENDING[/\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? ""] ?? null;
}

export type Preview = "image" | "audio" | "video" | "text" | "none";

/** Returns how a file can be shown. The server sends only images, sound and video with their type. */
export function previewOf(path: string, mimetype: string): Preview {
  if (/^image\/(png|jpeg|gif|webp|bmp)$/.test(mimetype)) return "image";
  if (/^audio\//.test(mimetype)) return "audio";
  if (/^video\/(mp4|webm|ogg)$/.test(mimetype)) return "video";
  const texts = /^text\/|json|xml|yaml|toml|javascript|x-sh|x-python/;
  if (texts.test(mimetype) || languageOf(path) !== null) return "text";
  return /\.(txt|log|csv|tsv|out|err|rst|env|gitignore)$|^[A-Z]+$/.test(nameOf(path)) ? "text" : "none";
}

/** Returns whether a text is the beginning of a binary file. */
export function isBinary(text: string): boolean {
  return text.slice(0, 8000).includes("\0");
}

/** Returns a JSON text with line breaks and indents; the same text if it is not JSON. */
export function prettyJson(text: string): string {
  try {
    // Numbers keep their digits: only white space outside strings is added.
    JSON.parse(text);
  } catch {
    return text;
  }
  if (text.trimEnd().includes("\n")) return text;
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}[\],:]|\s+/g, (token) => {
    if (token === "{" || token === "[") return (depth += 1), token + line();
    if (token === "}" || token === "]") return (depth -= 1), line() + token;
    if (token === ",") return token + line();
    if (token === ":") return ": ";
    return /^\s+$/.test(token) ? "" : token;
  });
}
