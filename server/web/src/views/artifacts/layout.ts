// Asks the worker for the places of nodes.
import type { LayoutAnswer, LayoutRequest } from "../../lib/lineage";
import { activity } from "../../state/services";

export interface Placing {
  place: (graph: Omit<LayoutRequest, "id">) => Promise<LayoutAnswer>;
  close: () => void;
}

/** Starts a worker. The page counts as busy while it works. */
export function startPlacing(): Placing {
  const worker = new Worker(new URL("./lineage.worker.ts", import.meta.url), { type: "module" });
  const waiting = new Map<number, { done: (answer: LayoutAnswer) => void; fail: (error: Error) => void; end: () => void }>();
  let last = 0;
  const finish = (id: number) => {
    const entry = waiting.get(id);
    waiting.delete(id);
    entry?.end();
    return entry;
  };
  worker.onmessage = (event: MessageEvent<LayoutAnswer>) => finish(event.data.id)?.done(event.data);
  worker.onerror = () => {
    for (const id of [...waiting.keys()]) finish(id)?.fail(new Error("The graph could not be placed."));
  };
  return {
    place: (graph) =>
      new Promise((done, fail) => {
        const id = (last += 1);
        waiting.set(id, { done, fail, end: activity.begin() });
        worker.postMessage({ id, ...graph });
      }),
    close: () => {
      worker.terminate();
      for (const id of [...waiting.keys()]) finish(id);
    },
  };
}
