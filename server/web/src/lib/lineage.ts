// The visible part of a lineage graph: large fan-outs are collapsed into one node that tells how many there are.
import type { Schema } from "./api";

export type LineageNode = Schema<"LineageNode">;

/** Neighbours on one side of a node above which most of them are collapsed, and how many of them stay. */
export const FAN_OUT = 20;
const KEPT = 6;

export interface ShownNode {
  id: string;
  /** Null for a collapsed group. */
  node: LineageNode | null;
  /** Number of collapsed neighbours; 0 for a run or a version. */
  runs: number;
  versions: number;
}

export interface ShownEdge {
  source: string;
  target: string;
  kind: string;
}

export interface ShownGraph {
  nodes: ShownNode[];
  edges: ShownEdge[];
}

/**
 * Returns the nodes and edges to draw. `expanded` has the ids of the groups that the user opened.
 * A node behind collapsed edges only is not drawn.
 */
export function visibleLineage(graph: Schema<"LineageGraph">, expanded: ReadonlySet<string>): ShownGraph {
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const degree = new Map<string, number>();
  for (const { source, target } of graph.edges) {
    for (const id of [source, target]) degree.set(id, (degree.get(id) ?? 0) + 1);
  }
  const sides = new Map<string, { id: string; neighbours: [LineageNode, ShownEdge][] }>();
  for (const edge of graph.edges) {
    for (const [from, to, side] of [[edge.source, edge.target, "after"], [edge.target, edge.source, "before"]] as const) {
      const [node, other] = [byId.get(from), byId.get(to)];
      if (node === undefined || other === undefined || Math.abs(other.distance) <= Math.abs(node.distance)) continue;
      const key = `${side}:${from}`;
      const entry = sides.get(key) ?? { id: from, neighbours: [] };
      entry.neighbours.push([other, edge]);
      sides.set(key, entry);
    }
  }
  const cut = new Set<ShownEdge>();
  const groups: { group: ShownNode; edge: ShownEdge; owner: string }[] = [];
  for (const [key, { id, neighbours }] of sides) {
    if (neighbours.length <= FAN_OUT || expanded.has(key)) continue;
    // Those that lead on come first, then the newest.
    const ranked = [...neighbours].sort(([a], [b]) => (degree.get(b.id) ?? 0) - (degree.get(a.id) ?? 0) || b.created_at - a.created_at);
    const rest = ranked.slice(KEPT);
    for (const [, edge] of rest) cut.add(edge);
    const runs = rest.filter(([node]) => node.kind === "run").length;
    const after = key.startsWith("after:");
    const kind = rest[0]?.[1].kind ?? "";
    groups.push({
      group: { id: key, node: null, runs, versions: rest.length - runs },
      edge: after ? { source: id, target: key, kind } : { source: key, target: id, kind },
      owner: id,
    });
  }
  const kept = graph.edges.filter((edge) => !cut.has(edge));
  const reached = reachableFrom(graph.start, kept);
  const shownGroups = groups.filter(({ owner }) => reached.has(owner));
  return {
    nodes: [
      ...graph.nodes.filter(({ id }) => reached.has(id)).map((node) => ({ id: node.id, node, runs: 0, versions: 0 })),
      ...shownGroups.map(({ group }) => group),
    ],
    edges: [
      ...kept.filter(({ source, target }) => reached.has(source) && reached.has(target)),
      ...shownGroups.map(({ edge }) => edge),
    ],
  };
}

function reachableFrom(start: string, edges: ShownEdge[]): Set<string> {
  const next = new Map<string, string[]>();
  for (const { source, target } of edges) {
    next.set(source, [...(next.get(source) ?? []), target]);
    next.set(target, [...(next.get(target) ?? []), source]);
  }
  const reached = new Set([start]);
  for (const id of reached) for (const other of next.get(id) ?? []) reached.add(other);
  return reached;
}

/** Returns the text of a collapsed group: "and 214 runs". */
export function groupText({ runs, versions }: ShownNode): string {
  const parts = [runs > 0 ? `${runs} run${runs === 1 ? "" : "s"}` : "", versions > 0 ? `${versions} version${versions === 1 ? "" : "s"}` : ""];
  return `and ${parts.filter((part) => part !== "").join(" and ")}`;
}

/** Returns the name of a run or a version. */
export const nameOfNode = (node: LineageNode): string =>
  node.kind === "run" ? (node.label ?? node.name) : `${node.name}:${node.version ?? ""}`;

/** Shortens a text in its middle. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const head = Math.ceil((most - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (most - 1 - head))}`;
}

export interface LayoutRequest {
  id: number;
  nodes: { id: string; width: number; height: number }[];
  edges: { source: string; target: string }[];
}

export interface LayoutAnswer {
  id: number;
  width: number;
  height: number;
  /** Centre of each node. */
  nodes: Record<string, { x: number; y: number }>;
  /** Points of each edge, in the order of the request. */
  edges: { x: number; y: number }[][];
}

/** Returns an SVG path through points, with round corners. */
export function edgePath(points: { x: number; y: number }[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  let path = `M${first.x} ${first.y}`;
  rest.forEach((point, at) => {
    const next = rest[at + 1];
    if (next === undefined) path += `L${point.x} ${point.y}`;
    else path += `Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  });
  return path;
}
