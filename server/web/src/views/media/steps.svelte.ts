// The steps at which the media of a page were logged: one slider selects the step of all keys.
import { nav, patch } from "../../state/nav.svelte";

export class MediaSteps {
  /** The steps of each key of each run whose list is loaded. */
  #of = $state.raw<Record<string, number[]>>({});

  readonly all: number[] = $derived([...new Set(Object.values(this.#of).flat())].sort((a, b) => a - b));

  /** The selected step; null follows the newest one. */
  get chosen(): number | null {
    return nav.route.page === "project" ? nav.route.step : null;
  }

  /** The selected step, or the newest one before it that any key has. */
  get current(): number | undefined {
    const { chosen } = this;
    return chosen === null ? this.all.at(-1) : (this.all.findLast((step) => step <= chosen) ?? this.all[0]);
  }

  note(key: string, steps: number[]): void {
    const known = this.#of[key];
    if (known !== undefined && known.length === steps.length && known.at(-1) === steps.at(-1)) return;
    this.#of = { ...this.#of, [key]: steps };
  }

  choose(step: number): void {
    patch({ step: step === this.all.at(-1) ? null : step }, true);
  }

  /** Selects the next step, or with -1 the previous one. */
  move(by: 1 | -1): void {
    const { current } = this;
    if (current === undefined) return;
    const next = this.all[this.all.indexOf(current) + by];
    if (next !== undefined) this.choose(next);
  }
}
