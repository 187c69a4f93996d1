// The actions of the visible views: the command palette lists them, and their keys are shortcuts.
import { onDestroy } from "svelte";

export interface Command {
  /** What the command does, such as "Compare the selected runs". */
  title: string;
  /** The heading on the page of shortcuts. */
  section: string;
  /** One key as in `KeyboardEvent.key`, two after one another, or one with Ctrl or Cmd: "j", "?", "g m", "Mod+k". */
  keys?: string;
  /** Whether the command exists now. */
  when?: () => boolean;
  run: () => void;
}

/** Milliseconds within which the second key of a pair must follow. */
const PAIR = 1200;
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "CapsLock"]);
const TYPING = "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select";
const OVERLAY = "[role=dialog], [role=alertdialog], [role=menu]";

/** The lists of `groups`. When a view replaces another, the destroyed one reads state as it was before the new one. */
const provided: Command[][] = [];
let groups = $state.raw<Command[][]>([]);
let first = "";
let pressed = 0;

/** Offers commands while the calling component exists. */
export function provideCommands(commands: Command[]): void {
  provided.push(commands);
  groups = [...provided];
  onDestroy(() => {
    provided.splice(provided.indexOf(commands), 1);
    groups = [...provided];
  });
}

export const commands = {
  /** All commands of the visible views, also those that nothing can run now. */
  get all(): Command[] {
    return [...groups].reverse().flat();
  },
  /** All commands that exist now; those of the innermost view come first. */
  get list(): Command[] {
    return commands.all.filter((command) => command.when?.() ?? true);
  },
};

/** Returns the keys of a shortcut as they are printed on a keyboard. */
export function keyLabels(keys: string): string[] {
  const mod = /mac|iphone|ipad/i.test(navigator.userAgent) ? "⌘" : "Ctrl";
  if (keys.startsWith("Mod+")) return [mod, keys.slice(4).toUpperCase()];
  return keys.split(" ").map((key) => (key === "Escape" ? "Esc" : key));
}

const OF_FIELDS = new Set(["z", "y"]);

const isTyping = (target: EventTarget | null): target is HTMLElement =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches(TYPING));

/** Leaves a field, so that shortcuts work again. The first Escape in a search field empties it. */
function leave(field: HTMLElement): void {
  if (field instanceof HTMLInputElement && field.type === "search" && field.value !== "") return;
  field.blur();
}

/** Runs the command of a pressed key. Fields, menus and dialogs keep their keys. */
export function onShortcut(event: KeyboardEvent): void {
  const { key } = event;
  if (event.defaultPrevented || event.isComposing || MODIFIERS.has(key)) return;
  if (document.querySelector(OVERLAY) !== null) return;
  const modified = event.ctrlKey || event.metaKey;
  if (event.altKey && !modified) return;
  // Fields undo what was typed.
  if (isTyping(event.target) && (!modified || OF_FIELDS.has(key.toLowerCase()))) {
    if (key === "Escape") leave(event.target);
    return;
  }
  const candidates = modified
    ? [`Mod+${key.toLowerCase()}`]
    : [...(event.timeStamp - pressed < PAIR ? [`${first} ${key}`] : []), key];
  const list = commands.list;
  const command = candidates.map((keys) => list.find((each) => each.keys === keys)).find((found) => found !== undefined);
  first = modified ? "" : key;
  pressed = event.timeStamp;
  if (command === undefined) return;
  event.preventDefault();
  first = "";
  command.run();
}
