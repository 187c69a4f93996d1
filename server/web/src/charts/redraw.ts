// The order of redraws: the chart that a person touches in the next frame, the others one in each task, so that no
// task is long.
import { activity } from "../state/services";

type Owner = object;

const waiting = new Map<Owner, { work: () => void; done: () => void }>();
let touched: Owner | null = null;
let scheduled = false;

/** Makes a chart the one that redraws first. */
export function touch(owner: Owner): void {
  touched = owner;
}

/** Draws soon. A later request of the same owner replaces an earlier one. */
export function redraw(owner: Owner, work: () => void): void {
  waiting.get(owner)?.done();
  const done = activity.begin();
  waiting.set(owner, { work, done });
  if (owner === touched && !document.hidden) requestAnimationFrame(() => perform(owner));
  schedule();
}

/** Forgets the request of a chart that is gone. */
export function forget(owner: Owner): void {
  waiting.get(owner)?.done();
  waiting.delete(owner);
  if (touched === owner) touched = null;
}

function perform(owner: Owner): void {
  const found = waiting.get(owner);
  if (found === undefined) return;
  waiting.delete(owner);
  try {
    found.work();
  } finally {
    // uPlot draws in a microtask.
    setTimeout(found.done);
  }
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    for (const owner of waiting.keys()) {
      // The touched chart has its own frame.
      if (owner === touched && !document.hidden) continue;
      perform(owner);
      break;
    }
    if (waiting.size > (touched !== null && waiting.has(touched) ? 1 : 0)) schedule();
  });
}
