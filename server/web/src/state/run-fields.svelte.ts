// The fields that the runs of a project have, and the sweeps that its runs belong to.
import type { Schema } from "../lib/api";
import { createLatest } from "../lib/latest";
import { api } from "./services";

/** The largest number of fields that the server returns. */
const LIMIT = 5000;

export class RunFields {
  list = $state.raw<Schema<"FieldInfo">[]>([]);
  /** Whether the server left out fields. */
  more = $state(false);
  /** Whether the server has answered. */
  loaded = $state(false);
  /** The name of the sweep of a run, by the id of the run. */
  sweeps = $state.raw<ReadonlyMap<string, string>>(new Map());

  #place: [entity: string, project: string] = ["", ""];
  #latest = createLatest();

  open(entity: string, project: string): void {
    this.#place = [entity, project];
    void this.refresh();
  }

  /** Loads the fields again, for example after the first row of a run. */
  async refresh(): Promise<void> {
    const [entity, project] = this.#place;
    try {
      const found = await this.#latest.run((signal) =>
        Promise.all([
          api.fields(entity, project, signal, { limit: LIMIT }),
          api.call<Schema<"SweepList">>(["projects", entity, project, "sweeps"], { signal, stay: true }),
        ]),
      );
      if (found === undefined) return;
      const [fields, { sweeps }] = found;
      this.list = fields.fields;
      this.more = fields.more;
      this.sweeps = new Map(sweeps.flatMap(({ name, trials }) => trials.map(({ run_id }) => [run_id, name])));
      this.loaded = true;
    } catch {
      // The list of runs makes a request too, and reports the failure.
      this.loaded = true;
    }
  }

  close(): void {
    this.#latest.cancel();
  }
}
