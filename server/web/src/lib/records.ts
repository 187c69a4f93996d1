// The records that the REST API sends, as types. Nothing here runs.

/** Any JSON value; integers beyond 2^53 are kept exact as bigint (see json.ts). */
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
  /** Why it did not finish. */
  reason: string | null;
  /** When the writer of a crashed run was last heard of. */
  last_seen: number | null;
  host: string | null;
}

export interface RunKey {
  key: string;
  kind: KeyKind;
  /** Some of its values are numbers, whatever the others are. */
  numbers: boolean;
  count: number;
  last_step: number | null;
}

/** What one writer (rank, node) of a run wrote in one attempt. */
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
  /** Whether its rows belong to the newest branch, and then (unless null) only those before this step. */
  shown: boolean;
  shown_before: number | null;
  /** Samples of system metrics. */
  samples: number;
  console_lines: number;
  /** A process that was forked from the writer, or handed the run. */
  child: boolean;
}

/** What one writer sampled of its machine in one attempt; `_runtime` and `_timestamp` are in each row. */
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
  /** How many lines match a search. */
  found: number;
  lines: OutputLine[];
}

export interface Facts {
  metadata: JsonObject | null;
  /** `name==version`. */
  packages: string[];
  files: { path: string; size: number; url: string }[];
}

/** What `run.alert` said. */
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

/** What a person may change of a run. */
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

/** What was logged under a key that is no plain value, with a `url` for each file. */
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

/** What `GET /projects/ENTITY/PROJECT/runs/ID/NAME` answers, by name. */
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
  /** When it may be deleted; null: never. */
  expires_at: number | null;
  /** `entity/project/name:vN` of the version that this one links to. */
  source: string | null;
}

export interface ArtifactFile {
  path: string;
  size: number;
  digest: string;
  sha256: string;
  /** Where a reference points to; its bytes are not on the server. */
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
