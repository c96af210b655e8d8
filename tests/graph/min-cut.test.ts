import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Network } from '../../src/graph/min-cut.ts';

interface Edge {
  from: number;
  to: number;
  capacity: number;
}

const capacityOf = (edges: readonly Edge[], behind: readonly boolean[]) =>
  edges.filter(({ from, to }) => !behind[from] && behind[to]).reduce((sum, { capacity }) => sum + capacity, 0);

/** Every cut of vertices 0 (source) to 1 (sink). */
const cuts = (vertices: number): boolean[][] =>
  Array.from({ length: 2 ** (vertices - 2) }, (_, bits) => [
    false,
    true,
    ...Array.from({ length: vertices - 2 }, (_, i) => (bits >> i) % 2 === 1),
  ]);

it('no cut is smaller, and of those that are as small it leaves the fewest vertices behind it', () => {
  const vertices = 7;
  const edge = fc.record({
    from: fc.nat(vertices - 1),
    to: fc.nat(vertices - 1),
    capacity: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant(Infinity)),
  });
  fc.assert(
    fc.property(fc.array(edge, { maxLength: 20 }), (edges) => {
      const all = cuts(vertices);
      const smallest = Math.min(...all.map((behind) => capacityOf(edges, behind)));
      fc.pre(smallest < Infinity);
      const network = new Network();
      for (let i = 0; i < vertices; i++) network.vertex();
      for (const { from, to, capacity } of edges) network.connect(from, to, capacity);
      const found = network.behindCut(0, 1);
      expect(capacityOf(edges, found)).toBe(smallest);
      const size = (behind: readonly boolean[]) => behind.filter(Boolean).length;
      const equal = all.filter((behind) => capacityOf(edges, behind) === smallest);
      expect(size(found)).toBe(Math.min(...equal.map(size)));
    }),
    { numRuns: 300, seed: 1 },
  );
});
