// Highlighting of code with shiki, in pieces, so that a long file does not block the page. It is loaded when needed.
import type { GrammarState, LanguageInput, ThemedToken } from "shiki/core";
import { createHighlighterCore } from "shiki/core";
import { createJavaScriptRegexEngine } from "shiki/engine/javascript";
import dark from "shiki/themes/dark-plus.mjs";
import light from "shiki/themes/light-plus.mjs";

const LANGUAGES: Record<string, LanguageInput> = {
  python: () => import("shiki/langs/python.mjs"),
  json: () => import("shiki/langs/json.mjs"),
  yaml: () => import("shiki/langs/yaml.mjs"),
  toml: () => import("shiki/langs/toml.mjs"),
  shellscript: () => import("shiki/langs/shellscript.mjs"),
  diff: () => import("shiki/langs/diff.mjs"),
  markdown: () => import("shiki/langs/markdown.mjs"),
  javascript: () => import("shiki/langs/javascript.mjs"),
  typescript: () => import("shiki/langs/typescript.mjs"),
  c: () => import("shiki/langs/c.mjs"),
  cpp: () => import("shiki/langs/cpp.mjs"),
  rust: () => import("shiki/langs/rust.mjs"),
  go: () => import("shiki/langs/go.mjs"),
  java: () => import("shiki/langs/java.mjs"),
  julia: () => import("shiki/langs/julia.mjs"),
  r: () => import("shiki/langs/r.mjs"),
  sql: () => import("shiki/langs/sql.mjs"),
  html: () => import("shiki/langs/html.mjs"),
  xml: () => import("shiki/langs/xml.mjs"),
  css: () => import("shiki/langs/css.mjs"),
  ini: () => import("shiki/langs/ini.mjs"),
  lua: () => import("shiki/langs/lua.mjs"),
  docker: () => import("shiki/langs/docker.mjs"),
  make: () => import("shiki/langs/make.mjs"),
};
/** Lines in one task. */
const PIECE = 100;

const core = createHighlighterCore({ themes: [light, dark], engine: createJavaScriptRegexEngine({ forgiving: true }) });

/**
 * Highlights a text piece by piece.
 * `onLines` gets the number of the first line of a piece and its tokens.
 */
export async function highlight(
  text: string,
  language: string,
  theme: "light" | "dark",
  onLines: (first: number, lines: ThemedToken[][]) => void,
  signal: AbortSignal,
): Promise<void> {
  const load = LANGUAGES[language];
  if (load === undefined) return;
  const highlighter = await core;
  await highlighter.loadLanguage(load);
  const lines = text.split("\n");
  let grammarState: GrammarState | undefined;
  for (let first = 0; first < lines.length; first += PIECE) {
    if (signal.aborted) return;
    const tokens = highlighter.codeToTokensBase(lines.slice(first, first + PIECE).join("\n"), {
      lang: language,
      theme: theme === "dark" ? "dark-plus" : "light-plus",
      ...(grammarState === undefined ? {} : { grammarState }),
    });
    grammarState = highlighter.getLastGrammarState(tokens);
    onLines(first, tokens);
    await new Promise((next) => setTimeout(next));
  }
}
