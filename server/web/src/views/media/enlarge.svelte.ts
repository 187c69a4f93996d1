// The medium or the cell that a dialog shows enlarged. A page offers it with `EnlargeArea`.
import { getContext, setContext } from "svelte";
import type { MediaItem } from "../../lib/media";
import type { LayerState } from "./layers.svelte";

export interface Enlarged {
  title: string;
  /** An image, with the layers that are drawn on it. */
  media?: MediaItem;
  step?: number;
  layers?: LayerState;
  /** The full text of a cell. */
  text?: string;
}

export class Enlarger {
  open = $state(false);
  shown = $state.raw<Enlarged | null>(null);

  show(what: Enlarged): void {
    this.shown = what;
    this.open = true;
  }
}

const KEY = Symbol("enlarger");

export const provideEnlarger = (): Enlarger => setContext(KEY, new Enlarger());

/** Returns the dialog of the page; undefined if it has none. */
export const enlarger = (): Enlarger | undefined => getContext<Enlarger | undefined>(KEY);
