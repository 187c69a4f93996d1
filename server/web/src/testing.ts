// Mounts components in happy-dom for their tests. A file of such tests begins with `@vitest-environment happy-dom`.
import { createRawSnippet, flushSync, mount, unmount, type Component } from "svelte";
import { afterEach, vi } from "vitest";

/** Milliseconds for which a test waits: the first use of a control loads its library. */
const PATIENCE = { timeout: 90_000 };
vi.setConfig({ testTimeout: 240_000 });

const mounted: Record<string, unknown>[] = [];

afterEach(() => {
  for (const each of mounted.splice(0)) void unmount(each);
  document.body.replaceChildren();
});

/** Mounts a component in the page. */
export function show<Props extends Record<string, unknown>>(component: Component<Props>, props: Props): void {
  mounted.push(mount(component as Component, { target: document.body, props }));
  flushSync();
}

/** Returns a snippet with a text. */
export const words = (text: string) => createRawSnippet(() => ({ render: () => `<span>${text}</span>` }));

export const all = (selector: string): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(selector)];
export const texts = (selector: string): string[] => all(selector).map((each) => each.textContent.trim());

/** Returns the only element that matches, as soon as there is one. */
export async function only<E extends HTMLElement = HTMLElement>(selector: string): Promise<E> {
  return vi.waitFor(() => {
    flushSync();
    const found = all(selector);
    if (found.length !== 1) throw new Error(`${found.length} elements match ${selector}`);
    return found[0] as E;
  }, PATIENCE);
}

/** Waits until no element matches. */
export const gone = (selector: string) => eventually(() => {
  if (all(selector).length > 0) throw new Error(`${selector} is still there`);
});

/** Repeats a check until it passes. */
export function eventually(check: () => void): Promise<void> {
  return vi.waitFor(() => {
    flushSync();
    check();
  }, PATIENCE);
}

/** Presses a key on the element that has the focus. Returns whether a component handled it. */
export function press(key: string, options: KeyboardEventInit = {}): boolean {
  const target = document.activeElement ?? document.body;
  const handled = !target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...options }));
  flushSync();
  return handled;
}

/** Puts a text into a field as typing does. */
export function type(field: HTMLInputElement, text: string, event = "input"): void {
  field.value = text;
  field.setSelectionRange?.(text.length, text.length);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  if (event !== "input") field.dispatchEvent(new Event(event, { bubbles: true }));
  flushSync();
}

export function click(element: HTMLElement, options: MouseEventInit = {}): void {
  element.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ...options }));
  flushSync();
}

/** Chooses an option. Svelte looks for `:checked`, which happy-dom does not know for options. */
export function choose(field: HTMLSelectElement, value: string): void {
  field.value = value;
  field.querySelector = () => field.selectedOptions[0] ?? null;
  field.dispatchEvent(new Event("change", { bubbles: true }));
  flushSync();
}
