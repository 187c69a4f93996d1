// The REST client: typed requests, one error type, and a count of pending requests. It does not depend on
// the page.
import { decodeChart, type ChartSeries } from "./chart-data";
import type { LineCall } from "./chart-loader";
import { decodeCurves, type Curve } from "./curves";
import type { components, operations, paths } from "../../generated/api-types";
import { parseJson, type Json } from "./json";
import type { RunRow } from "./table";

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
  /** The cursor of the page; without it, `offset` counts. */
  cursor?: string | undefined;
}

export interface GroupQuery {
  by?: string;
  all_but?: string;
  metrics: string[];
  search: string;
  order: string;
  limit: number;
  offset: number;
}

/** A page of runs with the asked fields. */
export interface Rows {
  total: number;
  runs: RunRow[];
  next: string | null;
}

/** Runs by group, and the keys of their curves. */
export type CurvesQuery = Pick<Schema<"CurvesQuery">, "groups" | "keys"> & Partial<Schema<"CurvesQuery">>;

/** The most runs whose values a panel shows. */
export const MOST_VALUES = 10_000;

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
  headers?: Record<string, string>;
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
  const call = <T>(
    segments: string[],
    { method = "GET", params, repeated, headers, body, signal, stay = false }: Call,
  ): Promise<T> =>
    counted(async () => {
      const init: RequestInit = { method, headers: headers ?? {}, signal: signal ?? null };
      if (body !== undefined) {
        init.headers = { ...headers, "content-type": "application/json" };
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

    /** Returns only some fields of a page of runs, or whole runs without names of fields. */
    runRows: (
      entity: string,
      project: string,
      fields: string[] | null,
      { search, ids, ...page }: RunQuery,
      signal?: AbortSignal,
    ) => {
      const filters = ids === undefined ? undefined : JSON.stringify({ name: { $in: ids }, archived: { $in: [true, false] } });
      const params = { ...page, query: search || undefined, filters, fields: fields?.join(",") };
      return getJson<Rows>(urlOf(inProject(entity, project, "runs"), params), signal);
    },

    /** Returns groups of runs with statistics of metrics. */
    runGroups: (
      entity: string,
      project: string,
      { metrics, search, ...params }: GroupQuery,
      signal?: AbortSignal,
    ) =>
      getJson<Answer<"group_runs">>(
        urlOf(
          inProject(entity, project, "run-groups"),
          { ...params, query: search || undefined },
          metrics.map((key): [string, string] => ["metric", key]),
        ),
        signal,
      ),

    /** Returns the history keys of some runs, or of the first runs that match a query. */
    metrics: (entity: string, project: string, body: Partial<Schema<"MetricsQuery">>, signal?: AbortSignal) =>
      call<Answer<"list_metrics">>(inProject(entity, project, "metrics"), { method: "POST", body, signal }),

    /** Returns the media and histograms of a key of several runs, by the id of the run. */
    objects: (entity: string, project: string, runs: string[], key: string, signal?: AbortSignal) =>
      call<Answer<"list_objects_of_runs">>(inProject(entity, project, "objects"), { method: "POST", body: { runs, key }, signal }),

    /** Returns the rows of runs that a later attempt logged again. */
    branches: (entity: string, project: string, runs: string[], signal?: AbortSignal) =>
      call<Answer<"list_abandoned_branches">>(inProject(entity, project, "branches"), { method: "POST", body: { runs }, signal }),

    /** Returns the keys of config and summary that any run of a project has, and values to complete a query. */
    fields: (
      entity: string,
      project: string,
      signal?: AbortSignal,
      query: { search?: string; values?: number; limit?: number } = {},
    ) => getJson<Answer<"list_fields">>(urlOf(inProject(entity, project, "fields"), query), signal),

    /** Changes many runs at once. */
    changeRuns: (entity: string, project: string, body: Partial<Schema<"BulkChange">>) =>
      call<Answer<"change_runs">>(inProject(entity, project, "runs", "change"), { method: "POST", body, stay: true }),

    run: (entity: string, project: string, id: string, signal?: AbortSignal) =>
      getJson<Answer<"get_run">>(urlOf(inProject(entity, project, "runs", id)), signal),

    /** Returns the changed run. */
    editRun: (entity: string, project: string, id: string, body: RunEdit) =>
      call<Answer<"edit_run">>(inProject(entity, project, "runs", id), { method: "PATCH", body, stay: true }),

    /** Returns the lines of all keys of all runs of a call. */
    lines: ({ entity, project, runs, keys, segment, since, zoom, ...rest }: LineCall, signal?: AbortSignal): Promise<ChartSeries[]> =>
      counted(async () => {
        const [min, max] = [since ?? zoom?.[0], zoom?.[1]];
        const { x, points, steps } = rest;
        const [run = ""] = runs;
        // The server reads one segment of one run at a time.
        const response =
          segment === null
            ? await send(urlOf(inProject(entity, project, "chart")), {
                method: "POST",
                signal: signal ?? null,
                headers: { "content-type": "application/json" },
                body: JSON.stringify({ runs, keys, points, steps, ...(x === null ? {} : { x }), min, max }),
              })
            : await send(
                urlOf(
                  inProject(entity, project, "runs", run, "chart"),
                  { x: x ?? "_step", points, segment, min, max },
                  keys.map((key): [string, string] => ["key", key]),
                ),
                { signal: signal ?? null },
              );
        return decodeChart(await response.arrayBuffer());
      }),

    /** Returns mean and spread of the curves of groups of runs. */
    curves: (entity: string, project: string, body: CurvesQuery, signal?: AbortSignal): Promise<Curve[]> =>
      counted(async () => {
        const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
        const url = urlOf(inProject(entity, project, "curves"), { format: "binary" });
        const response = await send(url, { ...init, signal: signal ?? null });
        return decodeCurves(await response.arrayBuffer());
      }),

    /** Returns some fields of all runs that match a query, at most `MOST_VALUES` runs, and the number of all. */
    runValues: async (entity: string, project: string, query: string, fields: string[], signal?: AbortSignal) => {
      const runs: Record<string, Json>[] = [];
      let cursor: string | undefined;
      for (;;) {
        const params = { query: query || undefined, fields: fields.join(","), limit: 1000, cursor };
        const page = await getJson<Schema<"RunValues">>(urlOf(inProject(entity, project, "runs"), params), signal);
        runs.push(...(page.runs as Record<string, Json>[]));
        if (page.next === null || runs.length >= MOST_VALUES) return { runs, total: page.total };
        cursor = page.next;
      }
    },

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

    /** Returns the address of a route, for links to files. */
    address: urlOf,

    /** Returns the bytes of a file from `start` to `end`, without the byte at `end`. */
    bytes: (url: string, start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> =>
      counted(async () => {
        if (end <= start) return new Uint8Array();
        const headers = { range: `bytes=${start}-${end - 1}` };
        const response = await send(url, { signal: signal ?? null, headers });
        const found = new Uint8Array(await response.arrayBuffer());
        return response.status === 206 ? found : found.subarray(start, end);
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
