/** Minimum cut of a directed network by Dinic's algorithm (Dinitz 1970). */

interface Edge {
  to: number;
  /** Capacity that is left. */
  room: number;
  /** The same edge the other way. */
  back: Edge;
}

export class Network {
  readonly #edges: Edge[][] = [];

  /** A new vertex. */
  vertex(): number {
    this.#edges.push([]);
    return this.#edges.length - 1;
  }

  /** Capacities are whole numbers, or Infinity. */
  connect(from: number, to: number, capacity: number): void {
    const edge = { to, room: capacity } as Edge;
    const back: Edge = { to: from, room: 0, back: edge };
    edge.back = back;
    this.#edges[from].push(edge);
    this.#edges[to].push(back);
  }

  /** For each vertex: does it lie behind the minimum cut between source and sink? Of several such cuts, the one nearest to the sink. */
  behindCut(source: number, sink: number): boolean[] {
    for (let levels = this.#levels(source); levels[sink] >= 0; levels = this.#levels(source)) {
      const next = this.#edges.map(() => 0);
      while (this.#push(source, sink, Infinity, levels, next) > 0);
    }
    return this.#levels(sink, true).map((level) => level >= 0);
  }

  /** Distances from a vertex along edges with room, or (`against`) to it; -1 where there is no way. */
  #levels(start: number, against = false): number[] {
    const levels = this.#edges.map(() => -1);
    levels[start] = 0;
    const queue = [start];
    for (const vertex of queue) {
      for (const edge of this.#edges[vertex]) {
        if (levels[edge.to] >= 0 || (against ? edge.back : edge).room === 0) continue;
        levels[edge.to] = levels[vertex] + 1;
        queue.push(edge.to);
      }
    }
    return levels;
  }

  #push(vertex: number, sink: number, most: number, levels: readonly number[], next: number[]): number {
    if (vertex === sink) return most;
    const edges = this.#edges[vertex];
    for (; next[vertex] < edges.length; next[vertex]++) {
      const edge = edges[next[vertex]];
      if (edge.room === 0 || levels[edge.to] !== levels[vertex] + 1) continue;
      const pushed = this.#push(edge.to, sink, Math.min(most, edge.room), levels, next);
      if (pushed === 0) continue;
      edge.room -= pushed;
      edge.back.room += pushed;
      return pushed;
    }
    return 0;
  }
}
