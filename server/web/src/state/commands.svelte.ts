// The actions of the visible views: the command palette lists them, and their keys are shortcuts.
import { onDestroy } from "svelte";

export interface Command {
  /** What the command does, such as "Compare the selected runs". */
  title: string;
  /** The heading on the page of shortcuts. */
  section: string;
  /** One key as in `KeyboardEvent.key`, or two after one another: "j", "?", "g m". */
  keys?: string;
  /** Whether the command exists now. */
  when?: () => boolean;
  run: () => void;
}

/** Milliseconds within which the second key of a pair must follow. */
const PAIR = 1200;

let groups = $state.raw<Command[][]>([]);
let first = "";
let pressed = 0;

/** Offers commands while the calling component exists. */
export function provideCommands(commands: Command[]): void {
  groups = [...groups, commands];
  onDestroy(() => {
    groups = groups.filter((other) => other !== commands);
  });
}

export const commands = {
  /** All commands that exist now; those of the innermost view come first. */
  get list(): Command[] {
    return [...groups].reverse().flatMap((group) => group.filter((command) => command.when?.() ?? true));
  },
};

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || target.matches("input:not([type=checkbox]):not([type=range]), textarea, select, [role=menu] *, [role=dialog] *"));

/** Runs the command of a pressed key. */
export function onShortcut(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const pair = event.timeStamp - pressed < PAIR ? `${first} ${event.key}` : "";
  const command =
    commands.list.find((each) => each.keys === pair) ?? commands.list.find((each) => each.keys === event.key);
  first = event.key;
  pressed = event.timeStamp;
  if (command === undefined) return;
  event.preventDefault();
  first = "";
  command.run();
}
