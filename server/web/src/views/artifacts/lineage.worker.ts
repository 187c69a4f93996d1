// Places the nodes of a lineage graph from left to right, outside the page's thread.
import { Graph, layout } from "@dagrejs/dagre";
import type { LayoutAnswer, LayoutRequest } from "../../lib/lineage";

interface Placed {
  x: number;
  y: number;
}

function place({ id, nodes, edges }: LayoutRequest): LayoutAnswer {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 56, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id: name, width, height } of nodes) graph.setNode(name, { width, height });
  edges.forEach(({ source, target }, at) => graph.setEdge(source, target, {}, String(at)));
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return {
    id,
    width,
    height,
    nodes: Object.fromEntries(
      nodes.map(({ id: name }) => {
        const { x, y } = graph.node(name) as unknown as Placed;
        return [name, { x, y }];
      }),
    ),
    edges: edges.map(({ source, target }, at) => (graph.edge(source, target, String(at)) as unknown as { points: Placed[] }).points),
  };
}

self.onmessage = (event: MessageEvent<LayoutRequest>) => self.postMessage(place(event.data));
