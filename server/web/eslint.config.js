// Lint rules. The import rules below define the layers: each layer imports only lower layers
// (lib <- state, components <- charts <- panels <- views). lib uses neither Svelte nor browser globals.
import svelte from "eslint-plugin-svelte";
import ts from "typescript-eslint";
import svelteConfig from "./svelte.config.js";

const layer = (files, forbidden, extra = []) => ({
  files: files.flatMap((folder) => [`src/${folder}/**/*.ts`, `src/${folder}/**/*.svelte`]),
  rules: {
    "no-restricted-imports": [
      "error",
      {
        patterns: [
          {
            group: [...forbidden.map((name) => `**/${name}/**`), ...extra],
            message: `${files.join(", ")} must not import from this layer.`,
          },
        ],
      },
    ],
  },
});

const pageGlobals = ["window", "document", "localStorage", "sessionStorage", "location", "history", "navigator"];

export default ts.config(
  { ignores: ["node_modules/", "generated/", "../static/"] },
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: {
      parserOptions: { parser: ts.parser, extraFileExtensions: [".svelte"], svelteConfig },
    },
  },
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-console": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // state/nav.svelte.ts builds all links, and one listener handles them. SvelteKit's resolve() does not exist
      // here.
      "svelte/no-navigation-without-resolve": "off",
      // Maps and sets in state are replaced as a whole ($state.raw), never changed in place.
      "svelte/prefer-svelte-reactivity": "off",
    },
  },
  layer(["lib"], ["views", "panels", "components", "charts", "state"], ["svelte", "svelte/*", "*.svelte", "uplot"]),
  layer(["state"], ["views", "panels", "components", "charts"]),
  layer(["components"], ["views", "panels", "charts"]),
  layer(["charts"], ["views", "panels"]),
  layer(["panels"], ["views"]),
  {
    files: ["src/lib/**/*.ts"],
    rules: {
      "no-restricted-globals": ["error", ...pageGlobals],
      "no-restricted-syntax": [
        "error",
        { selector: "Identifier[name=/^\\$(state|derived|effect|props)$/]", message: "lib must not use runes." },
      ],
    },
  },
  { files: ["scripts/**"], rules: { "no-console": "off" } },
);
