/** The decoder's anchors: a box at every cell of every level, computed in float64 on the CPU and uploaded like a parameter. */
import type { Graph, Tensor } from '../graph/graph.ts';

/** [height, width] of a level's map. */
export type LevelShape = readonly [number, number];

/** Stands for infinity, which WGSL may assume absent: its sigmoid is exactly 1. */
const FAR = 1e4;

export interface Anchors {
  /** log(a / (1 - a)) of cx, cy, w, h, tokens x 4. */
  unactivated: Float32Array;
  /** 1 where all four numbers of the anchor lie inside (eps, 1 - eps), else 0. */
  valid: Float32Array;
}

/** Centres of the cells, sides 0.05 * 2^level, finest level first. */
export function makeAnchors(shapes: readonly LevelShape[], eps: number): Anchors {
  const tokens = shapes.reduce((n, [h, w]) => n + h * w, 0);
  const unactivated = new Float32Array(tokens * 4).fill(FAR);
  const valid = new Float32Array(tokens);
  let token = 0;
  shapes.forEach(([height, width], level) => {
    const side = 0.05 * 2 ** level;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, token++) {
        const anchor = [(x + 0.5) / width, (y + 0.5) / height, side, side];
        if (!anchor.every((a) => a > eps && a < 1 - eps)) continue;
        valid[token] = 1;
        unactivated.set(
          anchor.map((a) => Math.log(a / (1 - a))),
          token * 4,
        );
      }
    }
  });
  return { unactivated, valid };
}

const keyOf = (shapes: readonly LevelShape[], eps: number): string => `${shapes.map((s) => s.join('x')).join(' ')} eps ${eps}`;

/** [1, tokens, 4] */
export function anchorTensor(graph: Graph, shapes: readonly LevelShape[], eps: number): Tensor {
  const tokens = shapes.reduce((n, [h, w]) => n + h * w, 0);
  return graph.parameter({
    key: `anchors ${keyOf(shapes, eps)}`,
    shape: [1, tokens, 4],
    type: 'f32',
    sources: [],
    build: () => makeAnchors(shapes, eps).unactivated,
  });
}

/** [1, tokens, 1], repeated along the columns of what it multiplies. */
export function validTensor(graph: Graph, shapes: readonly LevelShape[], eps: number): Tensor {
  const tokens = shapes.reduce((n, [h, w]) => n + h * w, 0);
  return graph.parameter({
    key: `valid anchors ${keyOf(shapes, eps)}`,
    shape: [1, tokens, 1],
    type: 'f32',
    replicated: true,
    sources: [],
    build: () => {
      const { valid } = makeAnchors(shapes, eps);
      return new Float32Array(tokens * 4).map((_, i) => valid[i >> 2]);
    },
  });
}
