// Short messages at the bottom of the page, for example after a change that can be undone.
import { messageOf } from "./services";

export interface Toast {
  id: number;
  text: string;
  failed: boolean;
  /** Takes the change back; null if that is not possible. */
  undo: (() => Promise<unknown>) | null;
}

/** Milliseconds for which a message stays. Failures stay until they are closed. */
const STAY = 8000;
const MOST = 4;

let list = $state.raw<Toast[]>([]);
let last = 0;

export const toasts = {
  get list(): Toast[] {
    return list;
  },
};

export function dismiss(id: number): void {
  list = list.filter((toast) => toast.id !== id);
}

function show(text: string, failed: boolean, undo: Toast["undo"]): void {
  const id = ++last;
  list = [...list, { id, text, failed, undo }].slice(-MOST);
  if (!failed) setTimeout(() => dismiss(id), STAY);
}

/** Says that a change was made. */
export function notify(text: string, undo: Toast["undo"] = null): void {
  show(text, false, undo);
}

/** Says that something failed. */
export function notifyFailure(error: unknown): void {
  show(messageOf(error), true, null);
}

/** Makes a change and shows that it was made, or the error. Returns whether it was made. */
export async function change(text: string, work: () => Promise<unknown>, undo: Toast["undo"] = null): Promise<boolean> {
  try {
    await work();
  } catch (error) {
    notifyFailure(error);
    return false;
  }
  notify(text, undo);
  return true;
}
