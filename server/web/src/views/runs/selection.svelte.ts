// The selected runs, and the row that the keyboard moves.
import type { RunRow } from "../../lib/table";

export class Selection {
  ids = $state.raw<ReadonlySet<string>>(new Set());
  /** The row of the keys j and k; null before the first key. */
  cursor = $state<number | null>(null);
  #anchor: number | null = null;

  /** Selects a run, or deselects it. */
  toggle(id: string, index: number): void {
    const ids = new Set(this.ids);
    if (!ids.delete(id)) ids.add(id);
    this.ids = ids;
    this.#anchor = index;
  }

  /** Selects the runs from the last selected row to this one. `read` returns the runs between two rows. */
  async extend(index: number, read: (from: number, to: number) => Promise<RunRow[]>): Promise<void> {
    const anchor = this.#anchor ?? index;
    const rows = await read(Math.min(anchor, index), Math.max(anchor, index) + 1);
    this.add(rows.map((row) => row.id));
    this.#anchor = index;
  }

  add(ids: string[]): void {
    this.ids = new Set([...this.ids, ...ids]);
  }

  /** Selects all these runs, or deselects them if all are selected. */
  toggleAll(ids: string[]): void {
    if (ids.every((id) => this.ids.has(id))) this.ids = new Set([...this.ids].filter((id) => !ids.includes(id)));
    else this.add(ids);
  }

  clear(): void {
    this.ids = new Set();
    this.#anchor = null;
  }
}
