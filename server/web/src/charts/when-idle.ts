// Work that nothing on the screen waits for, such as buttons that show when the pointer is on a panel.
import { activity } from "../state/services";

/** Milliseconds after which work no longer waits until the page has time. */
const PATIENCE = 300;

/** Does some work when the page has time for it. */
export function whenIdle(work: () => void): void {
  const done = activity.begin();
  const perform = () => {
    work();
    setTimeout(done);
  };
  // Safari does not tell when a page has time.
  if ("requestIdleCallback" in window) requestIdleCallback(perform, { timeout: PATIENCE });
  else setTimeout(perform);
}
