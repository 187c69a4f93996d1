// The REST client: typed requests, one error type, and a count of pending requests. It does not depend on
// the page.
import { decodeChart, type ChartSeries } from "./chart-data";
import type { components, operations, paths } from "../../generated/api-types";
import { parseJson, type Json } from "./json";

/** A type of the OpenAPI document. A free value in it is any JSON value. */
type Exact<T> = unknown extends T ? Json : { [K in keyof T]: Exact<T[K]> };
/** A record of the API by its name in the OpenAPI document. */
export type Schema<Name extends keyof components["schemas"]> = Exact<components["schemas"][Name]>;

interface JsonAnswer {
  content: { "application/json": unknown };
}
type AnswerOf<Operation> = Operation extends { responses: { 200: JsonAnswer } }
  ? Exact<Operation["responses"][200]["content"]["application/json"]>
  : Operation extends { responses: { 201: JsonAnswer } }
    ? Exact<Operation["responses"][201]["content"]["application/json"]>
    : never;
/** The answer of an operation by its id. */
export type Answer<Id extends keyof operations> = AnswerOf<operations[Id]>;

type BelowRun<Name extends string> = `/api/v1/projects/{entity}/{project}/runs/{run_id}/${Name}`;
/** The routes below a run that answer with JSON. */
type RunRoute = "console" | "facts" | "files" | "objects" | "system" | "table";

/** The fields of a run that a person can change. */
export type RunEdit = Partial<Schema<"RunEdit">>;

/** A failed request. `status` is 0 if the server could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export interface RunQuery {
  limit: number;
  offset: number;
  order: string;
  /** The query in the language of the API; empty for all runs. */
  search: string;
  /** Only runs with these ids. */
  ids?: string[];
}

export interface ChartQuery {
  keys: string[];
  x: string;
  points: number;
  /** All rows of one segment instead of the newest branch. */
  segment?: string | undefined;
  min?: number | undefined;
  max?: number | undefined;
}

export interface ApiOptions {
  /** The path of the server: empty, or for example "/tracker" behind a proxy. */
  root?: string;
  fetch: (url: string, init?: RequestInit) => Promise<Response>;
  /** Called at the start of every request except the long poll. The returned function marks its end. */
  begin?: () => () => void;
  /** Called when the server requires a key. */
  onSignedOut?: () => void;
}

export interface Call {
  method?: string;
  params?: Params;
  /** Parameters that can occur several times. */
  repeated?: [string, string][];
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Whether the page stays as it is after the answer 401, for example to keep a typed text. */
  stay?: boolean;
}

type Params = Record<string, string | number | undefined>;

/** Joins percent-encoded path segments, and omits absent parameters. */
export function buildUrl(segments: string[], params: Params = {}, repeated: [string, string][] = []): string {
  const query = new URLSearchParams(repeated);
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) query.append(name, String(value));
  }
  const text = query.toString();
  return `/api/v1/${segments.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

async function errorOf(response: Response): Promise<ApiError> {
  let code = "http_error";
  let message = `The server answered with status ${response.status}.`;
  try {
    const body = (await response.json()) as Partial<Schema<"Problem">>;
    code = body.code ?? code;
    message = body.detail ?? message;
  } catch {
    // Another error format, for example a page of a proxy: only the status is known.
  }
  return new ApiError(response.status, code, message);
}

export type Api = ReturnType<typeof createApi>;

export function createApi(options: ApiOptions) {
  const urlOf = (...parts: Parameters<typeof buildUrl>) => `${options.root ?? ""}${buildUrl(...parts)}`;

  async function send(url: string, init: RequestInit, onSignedOut = options.onSignedOut): Promise<Response> {
    let response: Response;
    try {
      // The header proves to the server that this page requests the change, and not a page of another site.
      const headers = { ...(init.headers as Record<string, string> | undefined), "x-tracker-dashboard": "1" };
      response = await options.fetch(url, { credentials: "same-origin", ...init, headers });
    } catch (error) {
      if (error instanceof Error && error.name === "AbortError") throw error;
      throw new ApiError(0, "unreachable", "The server cannot be reached.");
    }
    if (response.ok) return response;
    if (response.status === 401) onSignedOut?.();
    throw await errorOf(response);
  }

  async function counted<T>(work: () => Promise<T>): Promise<T> {
    const end = options.begin?.();
    try {
      return await work();
    } finally {
      end?.();
    }
  }

  const getJson = <T>(url: string, signal?: AbortSignal): Promise<T> =>
    counted(async () => {
      const response = await send(url, { signal: signal ?? null });
      return parseJson(await response.text()) as T;
    });

  /** Sends a request and returns its JSON answer; null if the answer is empty. */
  const call = <T>(segments: string[], { method = "GET", params, repeated, body, signal, stay = false }: Call): Promise<T> =>
    counted(async () => {
      const init: RequestInit = { method, signal: signal ?? null };
      if (body !== undefined) {
        init.headers = { "content-type": "application/json" };
        init.body = JSON.stringify(body);
      }
      const response = await send(urlOf(segments, params, repeated), init, stay ? () => undefined : undefined);
      const text = await response.text();
      return (text === "" ? null : parseJson(text)) as T;
    });

  const inProject = (entity: string, project: string, ...rest: string[]) => ["projects", entity, project, ...rest];

  return {
    session: () => getJson<Answer<"get_session">>(urlOf(["session"])),

    /** Signs in with a key, or with a name and a password. */
    signIn: (body: Schema<"SignIn">) => call<null>(["session"], { method: "POST", body, stay: true }),

    signOut: () => call<null>(["session"], { method: "DELETE" }),

    call,

    projects: async (signal?: AbortSignal) =>
      (await getJson<Answer<"list_projects">>(urlOf(["projects"]), signal)).projects,

    access: (entity: string, project: string, signal?: AbortSignal) =>
      getJson<Answer<"get_access">>(urlOf(inProject(entity, project, "access")), signal),

    runs: (entity: string, project: string, { search, ids, ...page }: RunQuery, signal?: AbortSignal) => {
      const filters = ids === undefined ? undefined : JSON.stringify({ name: { $in: ids } });
      const params = { ...page, query: search || undefined, filters };
      return getJson<Schema<"RunPage">>(urlOf(inProject(entity, project, "runs"), params), signal);
    },

    /** Returns the history keys of some runs. */
    metrics: (entity: string, project: string, runs: string[], signal?: AbortSignal) =>
      call<Answer<"list_metrics">>(inProject(entity, project, "metrics"), { method: "POST", body: { runs }, signal }),

    /** Returns the keys of config and summary that any run of a project has, and values to complete a query. */
    fields: (entity: string, project: string, signal?: AbortSignal) =>
      getJson<Answer<"list_fields">>(urlOf(inProject(entity, project, "fields")), signal),

    /** Changes many runs at once. */
    changeRuns: (entity: string, project: string, body: Partial<Schema<"BulkChange">>) =>
      call<Answer<"change_runs">>(inProject(entity, project, "runs", "change"), { method: "POST", body, stay: true }),

    run: (entity: string, project: string, id: string, signal?: AbortSignal) =>
      getJson<Answer<"get_run">>(urlOf(inProject(entity, project, "runs", id)), signal),

    /** Returns the changed run. */
    editRun: (entity: string, project: string, id: string, body: RunEdit) =>
      call<Answer<"edit_run">>(inProject(entity, project, "runs", id), { method: "PATCH", body, stay: true }),

    chart: (
      entity: string,
      project: string,
      id: string,
      query: ChartQuery,
      signal?: AbortSignal,
    ): Promise<ChartSeries[]> =>
      counted(async () => {
        const { keys, ...params } = query;
        const repeated = keys.map((key): [string, string] => ["key", key]);
        const url = urlOf(inProject(entity, project, "runs", id, "chart"), params, repeated);
        const response = await send(url, { signal: signal ?? null });
        return decodeChart(await response.arrayBuffer()).series;
      }),

    /** Returns the answer of a route below a run. */
    ofRun: <Name extends RunRoute>(
      entity: string,
      project: string,
      id: string,
      name: Name,
      query: Params,
      signal?: AbortSignal,
    ) => getJson<AnswerOf<paths[BelowRun<Name>]["get"]>>(urlOf(inProject(entity, project, "runs", id, name), query), signal),

    /** Returns a page of a logged table. */
    table: (entity: string, project: string, id: string, params: Params, repeated: [string, string][], signal?: AbortSignal) =>
      call<Answer<"get_table">>(inProject(entity, project, "runs", id, "table"), { params, repeated, signal }),

    /** Returns the address of a file of a run, or of a download below it. */
    runUrl: (entity: string, project: string, id: string, below: string, params: Params = {}) =>
      urlOf([...inProject(entity, project, "runs", id), ...below.split("/")], params),

    /** Returns the content of a logged JSON file by its address. */
    file: (url: string, signal?: AbortSignal) => getJson<Json>(url, signal),

    /** Returns the content of a text file by its address; with `most`, at most this number of bytes from the start. */
    text: (url: string, signal?: AbortSignal, most?: number) =>
      counted(async () => {
        const headers: Record<string, string> = most === undefined ? {} : { range: `bytes=0-${most - 1}` };
        return (await send(url, { signal: signal ?? null, headers })).text();
      }),

    artifacts: async (entity: string, project: string, run?: string, signal?: AbortSignal) =>
      (await getJson<Answer<"list_versions">>(urlOf(inProject(entity, project, "artifacts"), { run }), signal))
        .artifacts,

    artifact: (entity: string, project: string, name: string, ref: string, signal?: AbortSignal) =>
      getJson<Answer<"get_version">>(urlOf(inProject(entity, project, "artifacts", name, ref)), signal),

    /** Returns a page of an artifact's files, in path order. */
    artifactFiles: (detail: Schema<"LinkedVersion">, offset: number, limit: number, signal?: AbortSignal) => {
      if (!isLocalUrl(detail.files_url)) throw new ApiError(0, "bad_address", "The list of files is on another server.");
      return getJson<Answer<"list_version_files">>(`${detail.files_url}?offset=${offset}&limit=${limit}`, signal);
    },

    /** Sends the long poll. It does not count as pending, because it is always open. */
    live: async (since: number | undefined, timeout: number, signal: AbortSignal): Promise<Answer<"get_changes">> => {
      const params = since === undefined ? {} : { since, timeout };
      const response = await send(urlOf(["live"], params), { signal });
      return parseJson(await response.text()) as Answer<"get_changes">;
    },
  };
}

/** Turns the address of a file into one that makes the browser save the file. */
export function downloadUrl(url: string): string {
  return `${url}${url.includes("?") ? "&" : "?"}download=1`;
}

/** Returns whether an address is on this server. Only such addresses become links and image sources. */
export function isLocalUrl(url: unknown): url is string {
  return typeof url === "string" && /^\/(?![/\\])/.test(url);
}
