// Users, keys, roles and sessions: the requests, and texts about them. It does not depend on the page.
import type { Answer, Api, Schema } from "./api";

export type Role = Schema<"RoleWanted">["role"];
export const ROLES: readonly Role[] = ["viewer", "writer", "admin"];

/** The requests of the pages of people. `call` is the one of the REST client. */
export function createPeopleApi(call: Api["call"]) {
  const changed = <T = unknown>(method: string, segments: string[], body?: unknown): Promise<T> =>
    call<T>(segments, { method, body });
  const place = (entity: string, project: string) =>
    project === "" ? ["entities", entity] : ["projects", entity, project];

  return {
    account: (signal?: AbortSignal) => call<Answer<"get_account">>(["me"], { signal }),
    editAccount: (body: Schema<"OwnChange">) => changed("PATCH", ["me"], body),

    sessions: async (signal?: AbortSignal) =>
      (await call<Answer<"list_sessions">>(["me", "sessions"], { signal })).sessions,
    endSession: (id: number) => changed("DELETE", ["me", "sessions", String(id)]),

    keys: async (everyone: boolean, signal?: AbortSignal) =>
      (await call<Answer<"list_keys">>(["keys"], { params: { everyone: String(everyone) }, signal })).keys,
    addKey: (body: Partial<Schema<"KeyWanted">>) => changed<Answer<"create_key">>("POST", ["keys"], body),
    revokeKey: (id: number) => changed("DELETE", ["keys", String(id)]),

    users: async (signal?: AbortSignal) => (await call<Answer<"list_users">>(["users"], { signal })).users,
    addUser: (body: Partial<Schema<"NewUser">>) => changed("POST", ["users"], body),
    editUser: (name: string, body: Schema<"UserChange">) => changed("PATCH", ["users", name], body),
    deleteUser: (name: string) => changed("DELETE", ["users", name]),
    link: (name: string) => changed<Answer<"create_link">>("POST", ["users", name, "link"]),

    /** Members of a project and of its entity; of an entity and of its projects if `project` is empty. */
    members: (entity: string, project: string, signal?: AbortSignal) =>
      call<Answer<"list_members">>([...place(entity, project), "members"], { signal }),
    setRole: (entity: string, project: string, user: string, role: Role) =>
      changed("PUT", [...place(entity, project), "members", user], { role }),
    removeRole: (entity: string, project: string, user: string) =>
      changed("DELETE", [...place(entity, project), "members", user]),
    setPrivate: (entity: string, project: string, isPrivate: boolean) =>
      changed("PATCH", ["projects", entity, project, "access"], { private: isPrivate }),

    /** What wandb clients have asked the server for. */
    wandbOperations: (signal?: AbortSignal) => call<Answer<"list_wandb_operations">>(["wandb", "operations"], { signal }),

    /** The newest entries of the audit log before an entry; those of one project if it is given. */
    audit: async (
      project: readonly [string, string] | null,
      query: { actor?: string | undefined; target?: string | undefined; before?: number | undefined; limit: number },
      signal?: AbortSignal,
    ) => {
      const segments = project === null ? ["audit"] : ["projects", ...project, "audit"];
      return (await call<Answer<"list_audit">>(segments, { params: query, signal })).entries;
    },
  };
}

/** Splits `entity/project`; returns null if the text has another form. */
export function parseProject(text: string): [string, string] | null {
  const parts = text.trim().split("/");
  const [entity, project] = parts;
  return parts.length === 2 && entity && project ? [entity, project] : null;
}

/** Describes what a key may do, such as `read only, team/demo`. */
export function describeScope(key: Schema<"Key">): string {
  const scope = key.scope === "read" ? "read only" : "read and write";
  return key.entity === null ? scope : `${scope}, ${key.entity}/${key.project ?? ""}`;
}

const BROWSERS: [RegExp, string][] = [
  [/\bEdg\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bFirefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux/, "Linux"],
];

/** Returns a short name of a browser, such as `Firefox on Linux`, from its description of itself. */
export function browserName(agent: string): string {
  const find = (names: [RegExp, string][]) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = find(BROWSERS);
  const system = find(SYSTEMS);
  if (browser === undefined) return agent === "" ? "Unknown browser" : agent;
  return system === undefined ? browser : `${browser} on ${system}`;
}

/** Returns the members of the project itself, and those of its entity who have access to it. */
export function splitMembers(
  list: Schema<"MemberList">,
  project: string,
): { own: Schema<"Member">[]; ofEntity: Schema<"Member">[] } {
  return {
    own: list.members.filter((each) => each.project === project),
    ofEntity: list.members.filter(
      (each) => project !== "" && each.project === "" && (!list.private || each.role === "admin"),
    ),
  };
}
