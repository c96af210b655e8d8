import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward, gradientsOf } from '../setup/gpu-gradients.ts';
import { type GraphInput, runGraph } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose } from '../setup/tolerance.ts';

/** One head's softmax(score) v for every query: which keys, scores and values is up to the callers. */
function attend(scores: number[], values: (key: number, column: number) => number, width: number): number[] {
  const peak = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - peak));
  const total = weights.reduce((a, b) => a + b, 0);
  return Array.from({ length: width }, (_, c) => weights.reduce((sum, w, j) => sum + w * values(j, c), 0) / total);
}

interface Sizes {
  n: number;
  queries: number;
  keys: number;
  heads: number;
  /** Columns of a head. */
  width: number;
}

type Mask = (image: number, head: number, query: number, key: number) => number;

const attentionOf =
  ({ n, queries, keys, heads, width }: Sizes, mask: Mask): Forward =>
  ([q, k, v]) => {
    const columns = heads * width;
    const y = new Float64Array(n * queries * columns);
    for (let at = 0; at < n * queries * heads; at++) {
      const [image, query, head] = [Math.floor(at / heads / queries), Math.floor(at / heads) % queries, at % heads];
      const own = (image * queries + query) * columns + head * width;
      const row = (key: number) => (image * keys + key) * columns + head * width;
      const scores = Array.from({ length: keys }, (_, j) => {
        let dot = 0;
        for (let c = 0; c < width; c++) dot += q[own + c] * k[row(j) + c];
        return dot / Math.sqrt(width) + mask(image, head, query, j);
      });
      y.set(
        attend(scores, (j, c) => v[row(j) + c], width),
        own,
      );
    }
    return [y];
  };

function given(sizes: Sizes, mask: GraphInput | null, read: Mask) {
  const { n, queries, keys, heads, width } = sizes;
  const r = random(21);
  const array = (rows: number) => ({ data: r.array(n * rows * heads * width), shape: [n, rows, heads * width] });
  return {
    op: 'attention',
    inputs: [array(queries), array(keys), array(keys), ...(mask ? [mask] : [])],
    attributes: { heads },
    outputs: [[n, queries, heads * width]],
    wanted: [0, 1, 2],
    forward: attentionOf(sizes, read),
    depth: 60,
  };
}

const none: Mask = () => 0;

describe.each(['quads', 'scalar'])('attention, %s', (attention) => {
  const options = { variants: { attention } };

  it.each<Sizes>([
    { n: 2, queries: 5, keys: 5, heads: 2, width: 4 },
    { n: 1, queries: 3, keys: 35, heads: 1, width: 8 },
    { n: 2, queries: 34, keys: 2, heads: 3, width: 1 },
    { n: 1, queries: 4, keys: 6, heads: 2, width: 5 },
    { n: 1, queries: 1, keys: 1, heads: 1, width: 4 },
    { n: 1, queries: 2, keys: 3, heads: 1, width: 36 },
    { n: 1, queries: 69, keys: 5, heads: 1, width: 4 },
    { n: 2, queries: 3, keys: 13, heads: 1, width: 12 },
  ])('%j', async (sizes) => {
    const { kernels } = await expectGradients({ ...given(sizes, null, none), floor: 1e-6, options });
    const made = kernels.filter((k) => k.startsWith('attention/gradient'));
    const quads = attention === 'quads' && sizes.width % 4 === 0 && sizes.width <= 32;
    expect(made).toEqual(['queries', 'keys'].map((stage) => `attention/gradient-${stage}${quads ? '-quads' : ''}`));
  });

  it('masks of each form', async () => {
    const sizes: Sizes = { n: 2, queries: 4, keys: 5, heads: 2, width: 4 };
    const r = random(22);
    const values = (shape: number[]) => ({ shape, data: r.array(sizeOf(shape)).map((v) => (v > 0.9 ? -1e9 : v)) });
    const [table, row, full] = [
      [4, 5],
      [2, 1, 5],
      [4, 4, 5],
    ].map(values);
    await expectGradients({ ...given(sizes, table, (_n, _h, i, j) => table.data[i * 5 + j]), options });
    await expectGradients({ ...given(sizes, row, (n, _h, _i, j) => row.data[n * 5 + j]), options });
    await expectGradients({ ...given(sizes, full, (n, h, i, j) => full.data[((n * 2 + h) * 4 + i) * 5 + j]), options });
    await expect(gradientsOf({ ...given(sizes, table, none), wanted: [3] })).rejects.toThrow(/mask has no gradient/);
  });

  it('scores of a hundred, and windows of wider tensors', async () => {
    const sizes: Sizes = { n: 1, queries: 4, keys: 5, heads: 2, width: 4 };
    const all = given(sizes, null, none);
    all.inputs[0].data = all.inputs[0].data.map((v) => v * 40);
    await expectGradients({ ...all, depth: 600, distance: 1e-4, options });
    for (const margin of [3, 4]) {
      await expectGradients({ ...given(sizes, null, none), margins: { 0: margin, 1: margin, 2: margin, seed: margin }, options });
    }
  });
});

it('attention with many queries and keys: the variants agree', async () => {
  const sizes: Sizes = { n: 2, queries: 150, keys: 77, heads: 2, width: 32 };
  const { inputs } = given(sizes, null, none);
  const seed = { data: random(25).array(2 * 150 * 64), shape: [2, 150, 64] };
  const [quads, scalar] = await Promise.all(
    ['quads', 'scalar'].map((attention) =>
      runGraph({
        inputs: { q: inputs[0], k: inputs[1], v: inputs[2], seed },
        steps: [
          { op: 'attention', inputs: ['q', 'k', 'v'], outputs: ['y'], attributes: { heads: 2 } },
          { op: 'gradients', inputs: ['y', 'seed', 'q', 'k', 'v'], outputs: ['dq', 'dk', 'dv'], attributes: { outputs: 1 } },
        ],
        outputs: ['dq', 'dk', 'dv'],
        options: { variants: { attention } },
      }),
    ),
  );
  expect(quads.kernels).not.toEqual(scalar.kernels);
  for (const name of ['dq', 'dk', 'dv']) {
    const value = scalar.outputs[name].data as Float32Array;
    const largest = value.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    expectClose(quads.outputs[name].data, { value, magnitude: value.map(() => largest) }, { depth: 80 });
  }
});

interface Windows {
  n: number;
  h: number;
  w: number;
  heads: number;
  width: number;
  window: number;
  shift: number;
}

/** Swin's definition: pad to whole windows, roll, cut, attend within a window and region, roll back. */
const windowsOf =
  ({ n, h, w, heads, width, window, shift }: Windows, table: boolean, pad: ArrayLike<number> | null): Forward =>
  ([qkv, bias]) => {
    const columns = heads * width;
    const [high, wide] = [h, w].map((size) => Math.ceil(size / window) * window);
    const side = 2 * window - 1;
    const y = new Float64Array(n * h * w * columns);
    const region = (at: number, size: number) => (at >= size - window ? 1 : 0) + (at >= size - shift ? 1 : 0);
    for (let image = 0; image < n; image++) {
      for (let first = 0; first < high * wide; first++) {
        const [top, left] = [Math.floor(first / wide), first % wide];
        if (top % window > 0 || left % window > 0) continue;
        const cells = Array.from({ length: window * window }, (_, i) => {
          const [dy, dx] = [Math.floor(i / window), i % window];
          const [ry, rx] = [top + dy, left + dx];
          const [cy, cx] = [(ry + shift) % high, (rx + shift) % wide];
          const inside = cy < h && cx < w;
          const at = (image * h + cy) * w + cx;
          return {
            dy,
            dx,
            at,
            inside,
            hidden: !inside || (pad !== null && pad[at] > 0.5),
            region: region(ry, high) * 3 + region(rx, wide),
          };
        });
        for (const query of cells.filter((c) => c.inside)) {
          for (let head = 0; head < heads; head++) {
            const keys = cells.filter((c) => !c.hidden && c.region === query.region);
            if (keys.length === 0) continue;
            const of = (cell: (typeof cells)[0], part: number, c: number) => qkv[cell.at * 3 * columns + part * columns + head * width + c];
            const scores = keys.map((key) => {
              let dot = 0;
              for (let c = 0; c < width; c++) dot += of(query, 0, c) * of(key, 1, c);
              const entry = (query.dy - key.dy + window - 1) * side + query.dx - key.dx + window - 1;
              return dot / Math.sqrt(width) + (table ? bias[entry * heads + head] : 0);
            });
            y.set(
              attend(scores, (j, c) => of(keys[j], 2, c), width),
              query.at * columns + head * width,
            );
          }
        }
      }
    }
    return [y];
  };

describe.each(['quads', 'scalar'])('windowAttention, %s', (attention) => {
  const options = { variants: { attention } };

  it.each<[Windows, boolean]>([
    [{ n: 2, h: 4, w: 6, heads: 2, width: 4, window: 2, shift: 0 }, true],
    [{ n: 1, h: 5, w: 7, heads: 1, width: 3, window: 3, shift: 1 }, true],
    [{ n: 1, h: 4, w: 5, heads: 2, width: 4, window: 3, shift: 2 }, false],
    [{ n: 1, h: 1, w: 1, heads: 1, width: 4, window: 1, shift: 0 }, true],
    [{ n: 1, h: 2, w: 3, heads: 2, width: 1, window: 4, shift: 0 }, true],
    [{ n: 1, h: 3, w: 5, heads: 1, width: 4, window: 4, shift: 1 }, false],
  ])('%j, with a table: %s', async (sizes, table) => {
    const { n, h, w, heads, width, window, shift } = sizes;
    const r = random(23);
    const qkv = { data: r.array(n * h * w * 3 * heads * width), shape: [n, h, w, 3 * heads * width] };
    const bias = { data: r.array((2 * window - 1) ** 2 * heads), shape: [(2 * window - 1) ** 2, heads], parameter: true };
    await expectGradients({
      op: 'windowAttention',
      inputs: table ? [qkv, bias] : [qkv],
      attributes: { heads, headDim: width, window, shift, table },
      outputs: [[n, h, w, heads * width]],
      wanted: table ? [0, 1] : [0],
      forward: windowsOf(sizes, table, null),
      depth: 80,
      options,
      floor: 1e-6,
    });
  });

  it('padding of the batch is seen by no query', async () => {
    const sizes: Windows = { n: 2, h: 4, w: 4, heads: 1, width: 4, window: 2, shift: 0 };
    const r = random(24);
    const qkv = { data: r.array(2 * 16 * 12), shape: [2, 4, 4, 12] };
    const bias = { data: r.array(9), shape: [9, 1], parameter: true };
    // One column of the second image: every window keeps a key.
    const pad = { data: Float32Array.from({ length: 32 }, (_, i) => (i >= 16 && i % 4 === 3 ? 1 : 0)), shape: [2, 4, 4] };
    const all = {
      op: 'windowAttention',
      inputs: [qkv, bias, pad],
      attributes: { heads: 1, headDim: 4, window: 2, table: true },
      outputs: [[2, 4, 4, 4]],
      forward: windowsOf(sizes, true, pad.data),
      depth: 60,
      options,
    };
    await expectGradients({ ...all, wanted: [0, 1] });
    await expect(gradientsOf({ ...all, wanted: [2] })).rejects.toThrow(/padding has no gradient/);
  });
});
