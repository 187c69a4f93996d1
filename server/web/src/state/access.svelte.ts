// The role of the caller in the open project. It decides which controls the page shows.
import type { Answer } from "../lib/api";
import { createLatest } from "../lib/latest";
import { api } from "./services";

let role = $state<Answer<"get_access">["role"] | null>(null);
const latest = createLatest();

export const access = {
  /** Whether the caller may change runs of the project. */
  get writes(): boolean {
    return role === "writer" || role === "admin";
  },
};

/** Asks for the role in a project. Until the answer arrives, nothing can be edited. */
export async function loadAccess(entity: string, project: string): Promise<void> {
  role = null;
  try {
    const found = await latest.run((signal) => api.access(entity, project, signal));
    if (found !== undefined) role = found.role;
  } catch {
    // The view of the project makes a request too, and reports the failure.
  }
}
