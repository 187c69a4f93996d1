// Types of the REST API's records. This file contains no code.

/** Any JSON value. Integers beyond 2^53 are exact, as bigint (see json.ts). */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type RunState = "running" | "finished" | "failed" | "crashed" | "preempted";
export type KeyKind = "number" | "image" | "media" | "table" | "histogram" | "text" | "other";

export interface Session {
  key_required: boolean;
  signed_in: boolean;
}

export interface Project {
  entity: string;
  name: string;
  runs: number;
  updated_at: number;
}

export interface Run {
  entity: string;
  project: string;
  id: string;
  name: string;
  state: RunState;
  created_at: number;
  updated_at: number;
  finished_at: number | null;
  duration: number;
  last_step: number | null;
  tags: string[];
  group: string | null;
  job_type: string | null;
  notes: string | null;
  config: JsonObject;
  summary: JsonObject;
  error: string | null;
  /** The error of a run that did not finish. */
  reason: string | null;
  /** Time of the last sign of life of a crashed run's writer. */
  last_seen: number | null;
  host: string | null;
}

export interface RunKey {
  key: string;
  kind: KeyKind;
  /** Whether some of its values are numbers. */
  numbers: boolean;
  count: number;
  last_step: number | null;
}

/** The data of one writer (rank, node) of a run in one attempt. */
export interface RunSegment {
  id: string;
  rank: number;
  attempt: number;
  host: string | null;
  started_at: number;
  start_step: number;
  last_step: number | null;
  rows: number;
  state: RunState;
  /** Whether its rows belong to the newest branch. Unless null, only rows before this step do. */
  shown: boolean;
  shown_before: number | null;
  /** Number of samples of system metrics. */
  samples: number;
  console_lines: number;
  /** Whether the writer is a process that was forked from another writer, or received the run from it. */
  child: boolean;
}

/** Samples of one writer's machine in one attempt. Each row contains `_runtime` and `_timestamp`. */
export interface SystemSegment {
  segment: string;
  rank: number;
  attempt: number;
  host: string | null;
  rows: Partial<Record<string, number>>[];
  child: boolean;
}

export interface OutputLine {
  line: number;
  time: number;
  stream: "stdout" | "stderr";
  text: string;
}

export interface Output {
  total: number;
  /** Number of lines that match the search. */
  found: number;
  lines: OutputLine[];
}

export interface Facts {
  metadata: JsonObject | null;
  /** `name==version`. */
  packages: string[];
  files: { path: string; size: number; url: string }[];
}

/** One call of `run.alert`. */
export interface RunAlert {
  time: number;
  title: string;
  text: string;
  level: "INFO" | "WARN" | "ERROR";
}

export interface RunDetail extends Run {
  alerts: RunAlert[];
  keys: RunKey[];
  problems: string[];
  attempts: number;
  segments: RunSegment[];
}

/** The fields of a run that a person can change. */
export interface RunEdit {
  name?: string;
  tags?: string[];
  notes?: string | null;
}

export interface RunPage {
  total: number;
  revision: number;
  runs: Run[];
}

/** A logged object of a key (media, a histogram), with a `url` for each file. */
export interface Objects {
  key: string;
  steps: { step: number; value: Json }[];
}

export interface TablePage {
  key: string;
  step: number;
  steps: number[];
  columns: (string | number)[];
  total: number;
  rows: Json[][];
  url: string;
}

/** The answers of `GET /projects/ENTITY/PROJECT/runs/ID/NAME`, by name. */
export interface RunAnswers {
  console: Output;
  facts: Facts;
  objects: Objects;
  system: { segments: SystemSegment[] };
  table: TablePage;
}

export interface Artifact {
  entity: string;
  project: string;
  name: string;
  type: string;
  version: string;
  aliases: string[];
  size: number;
  file_count: number;
  digest: string;
  created_at: number;
  description: string | null;
  metadata: JsonObject;
  logged_by: string | null;
  updated_at: number;
  tags: string[];
  /** Time after which the version can be deleted; null for never. */
  expires_at: number | null;
  /** `entity/project/name:vN` of the source, if this version is a link. */
  source: string | null;
}

export interface ArtifactFile {
  path: string;
  size: number;
  digest: string;
  sha256: string;
  /** Target of a reference, whose bytes are not on the server. */
  ref: string | null;
  url: string | null;
}

export interface ArtifactFiles {
  total: number;
  files: ArtifactFile[];
}

export interface ArtifactDetail extends Artifact {
  files_url: string;
  used_by: RunRef[];
}

export interface RunRef {
  entity: string;
  project: string;
  id: string;
}

export interface LiveReply {
  revision: number;
  runs: RunRef[];
}
