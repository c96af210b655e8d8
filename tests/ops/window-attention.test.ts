import { describe, expect, it } from 'vitest';
import { type OpOptions, runOp } from '../setup/gpu-ops.ts';
import { random } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';
import { attentionReference } from './attention-reference.ts';

interface Case {
  batch: number;
  height: number;
  width: number;
  heads: number;
  d: number;
  window: number;
  shift?: number;
  /** Without the table of relative positions. */
  plain?: boolean;
  /** Cells from here on, right and below, are batch padding: [height, width] of each image's real part. */
  real?: [number, number][];
}

interface Arrays {
  qkv: Float32Array;
  bias: Float32Array;
}

const side = (c: Case) => 2 * c.window - 1;

function arrays(c: Case, seed: number): Arrays {
  const r = random(seed);
  return { qkv: r.array(c.batch * c.height * c.width * 3 * c.heads * c.d), bias: r.array(side(c) ** 2 * c.heads) };
}

function padOf({ batch, height, width, real }: Case): Float32Array | null {
  if (!real) return null;
  const at = (i: number) => [Math.floor(i / height / width), Math.floor(i / width) % height, i % width];
  return Float32Array.from({ length: batch * height * width }, (_, i) => {
    const [n, y, x] = at(i);
    return y < real[n][0] && x < real[n][1] ? 0 : 1;
  });
}

type Mutation = 'transposed' | 'unshifted' | 'padding seen';

/**
 * A loop over windows that knows only the cells that see each other: real ones of one window and one region. Each such group
 * is plain attention. Elsewhere the result is unspecified, and compared with itself.
 */
function reference(c: Case, { qkv, bias }: Arrays, actual: ArrayLike<number>, mutation?: Mutation): Reference {
  const { batch, height, width, heads, d, window, shift = 0 } = c;
  const columns = heads * d;
  const pad = mutation === 'padding seen' ? null : padOf(c);
  const value = Float64Array.from(actual);
  const magnitude = new Float64Array(value.length);
  const [hp, wp] = [height, width].map((n) => Math.ceil(n / window) * window);
  const moved = mutation === 'unshifted' ? 0 : shift;
  const groups = new Map<string, { cell: number; y: number; x: number }[]>();
  for (let n = 0; n < batch; n++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const cell = (n * height + y) * width + x;
        if (pad?.[cell]) continue;
        // Where the cell stands after rolling; the rolled-over strip is a region of its own.
        const [ry, rx] = [(y - moved + hp) % hp, (x - moved + wp) % wp];
        const key = [n, Math.floor(ry / window), Math.floor(rx / window), y < moved, x < moved].join();
        groups.set(key, [...(groups.get(key) ?? []), { cell, y: ry % window, x: rx % window }]);
      }
    }
  }
  for (const cells of groups.values()) {
    const size = cells.length;
    const part = (which: number) => {
      const rows = cells.map(({ cell }) => qkv.subarray((cell * 3 + which) * columns, (cell * 3 + which + 1) * columns));
      return Float32Array.from(rows.flatMap((row) => [...row]));
    };
    const relative = (_: number, h: number, i: number, j: number) => {
      if (c.plain) return 0;
      const [dy, dx] = [cells[i].y - cells[j].y + window - 1, cells[i].x - cells[j].x + window - 1];
      return bias[(mutation === 'transposed' ? dx * side(c) + dy : dy * side(c) + dx) * heads + h];
    };
    const sizes = { batch: 1, queries: size, keys: size, heads, d };
    const result = attentionReference(sizes, { q: part(0), k: part(1), v: part(2) }, { bias: relative });
    cells.forEach(({ cell }, i) => {
      for (let k = 0; k < columns; k++) {
        value[cell * columns + k] = result.value[i * columns + k];
        magnitude[cell * columns + k] = result.magnitude![i * columns + k];
      }
    });
  }
  return { value, magnitude };
}

const tolerance = { depth: 1, c: 1, floor: 1e-30 };

function run(c: Case, a: Arrays, options: OpOptions = {}) {
  const { batch, height, width, heads, d, window, shift } = c;
  const inputs = [{ data: a.qkv, shape: [batch, height, width, 3 * heads * d] }];
  if (!c.plain) inputs.push({ data: a.bias, shape: [side(c) ** 2, heads] });
  const pad = padOf(c);
  if (pad) inputs.push({ data: pad, shape: [batch, height, width] });
  const attributes = { heads, headDim: d, window, ...(shift && { shift }), table: !c.plain };
  return runOp('windowAttention', inputs, attributes, options);
}

const cases: [string, Case][] = [
  ['windows that fit', { batch: 2, height: 4, width: 6, heads: 3, d: 4, window: 2 }],
  ['one window', { batch: 1, height: 4, width: 4, heads: 2, d: 4, window: 4 }],
  ['a padded map', { batch: 2, height: 5, width: 7, heads: 3, d: 4, window: 3 }],
  ['a window larger than the map', { batch: 1, height: 3, width: 5, heads: 2, d: 4, window: 7 }],
  ['one cell', { batch: 1, height: 1, width: 1, heads: 1, d: 4, window: 1 }],
  ['shifted', { batch: 1, height: 6, width: 6, heads: 3, d: 4, window: 3, shift: 1 }],
  ['shifted and padded', { batch: 2, height: 5, width: 7, heads: 2, d: 4, window: 3, shift: 2 }],
  ['shifted windows of 5', { batch: 1, height: 11, width: 8, heads: 3, d: 4, window: 5, shift: 2 }],
  ['no table', { batch: 1, height: 4, width: 5, heads: 3, d: 4, window: 3, plain: true }],
  [
    'batch padding',
    {
      batch: 2,
      height: 6,
      width: 6,
      heads: 2,
      d: 4,
      window: 3,
      real: [
        [6, 6],
        [4, 5],
      ],
    },
  ],
  [
    'batch padding, a padded map, and a shift',
    {
      batch: 2,
      height: 5,
      width: 7,
      heads: 2,
      d: 4,
      window: 3,
      shift: 1,
      real: [
        [3, 4],
        [5, 6],
      ],
    },
  ],
  ['windows of 10 on 20 by 20', { batch: 1, height: 20, width: 20, heads: 2, d: 4, window: 10 }],
];

describe.each(['quads', 'workgroup', 'scalar'] as const)('window attention, %s', (variant) => {
  const options = { variants: { attention: variant } };
  it.each(cases)('%s', async (_, c) => {
    const a = arrays(c, 1);
    const { outputs, kernels } = await run(c, a, options);
    expect(kernels).toEqual([`attention/${variant}`]);
    expect(outputs[0].shape).toEqual([c.batch, c.height, c.width, c.heads * c.d]);
    expectClose(outputs[0].data, reference(c, a, outputs[0].data), tolerance);
  });

  it('a window of nothing but padding gives finite values', async () => {
    const c: Case = {
      ...cases[0][1],
      batch: 2,
      height: 6,
      width: 6,
      window: 3,
      real: [
        [3, 3],
        [6, 6],
      ],
    };
    const a = arrays(c, 2);
    const { outputs } = await run(c, a, options);
    expect(outputs[0].data.every((v) => Math.abs(v) < 10)).toBe(true);
    expectClose(outputs[0].data, reference(c, a, outputs[0].data), tolerance);
  });

  it('the tolerance rejects small mistakes', async () => {
    const c: Case = {
      ...cases[6][1],
      real: [
        [5, 6],
        [4, 7],
      ],
    };
    const a = arrays(c, 3);
    const { outputs } = await run(c, a, options);
    const actual = outputs[0].data;
    expectClose(actual, reference(c, a, actual), tolerance);
    for (const mutation of ['transposed', 'unshifted', 'padding seen'] as const)
      expectFar(actual, reference(c, a, actual, mutation), tolerance);
    expectFar(actual, reference({ ...c, plain: true }, a, actual), tolerance);
  });
});

describe('window attention', () => {
  it('heads of 5 take the scalar kernel', async () => {
    const c: Case = { batch: 2, height: 5, width: 7, heads: 3, d: 5, window: 3, shift: 1 };
    const a = arrays(c, 4);
    const { outputs, kernels } = await run(c, a);
    expect(kernels).toEqual(['attention/scalar']);
    expectClose(outputs[0].data, reference(c, a, outputs[0].data), tolerance);
  });

  it.each(['quads', 'workgroup'])('heads of 64, %s', async (attention) => {
    const c: Case = { batch: 1, height: 3, width: 3, heads: 2, d: 64, window: 3 };
    const a = arrays(c, 7);
    const { outputs, kernels } = await run(c, a, { variants: { attention } });
    expect(kernels).toEqual([`attention/${attention}`]);
    expectClose(outputs[0].data, reference(c, a, outputs[0].data), tolerance);
  });

  it('reads and writes windows of wider arrays', async () => {
    const c: Case = { batch: 2, height: 5, width: 3, heads: 2, d: 4, window: 2 };
    const a = arrays(c, 5);
    const { outputs } = await run(c, a, {
      inputWindows: { 0: { left: 4, right: 8 }, 1: { left: 1 } },
      outputWindow: { left: 4, right: 4 },
    });
    expectClose(outputs[0].data, reference(c, a, outputs[0].data), tolerance);
  });

  it('refuses shapes that do not fit together', async () => {
    const c: Case = { batch: 1, height: 4, width: 4, heads: 2, d: 4, window: 2 };
    const a = arrays(c, 6);
    await expect(run({ ...c, shift: 2 }, a)).rejects.toThrow(/shift 2 is not inside a window of 2/);
    const qkv = { data: a.qkv, shape: [1, 4, 4, 24] };
    const attributes = { heads: 2, headDim: 4, window: 3, table: true };
    await expect(runOp('windowAttention', [qkv, { data: a.bias, shape: [9, 2] }], attributes)).rejects.toThrow(/need \[25, 2\]/);
    await expect(runOp('windowAttention', [qkv], { ...attributes, headDim: 5, table: false })).rejects.toThrow(/24 columns are not 3/);
  });
});
