// Settings of the Svelte compiler: runes in all components, TypeScript in script blocks.
import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

export default { preprocess: vitePreprocess(), compilerOptions: { runes: true } };
