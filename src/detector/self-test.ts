/**
 * Start-up self-test: small runs of the kernels whose faults drivers have shown, against answers worked out here in float64.
 * A wrong answer of the preferred matrix product is met by another variant; anything else is reported.
 */
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import { Graph, type Tensor } from '../graph/graph.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { Program } from '../graph/program.ts';
import { attention } from '../ops/attention.ts';
import { conv2d } from '../ops/conv2d.ts';
import { deformableAttention } from '../ops/deformable-attention.ts';
import { add, relu } from '../ops/pointwise.ts';
import { topk } from '../ops/topk.ts';

export interface SelfTestResult {
  passed: boolean;
  /** What was wrong, one line each; with `passed`, what was worked around. */
  failures: string[];
  /** Each thing tested, with its largest error beside what is allowed. */
  checks: readonly SelfTestCheck[];
  /** Kernel variants to use on this adapter. */
  variants: Readonly<Record<string, string>>;
  /** For the user: what is done differently, and why. */
  warnings: string[];
  milliseconds: number;
}

export interface SelfTestCheck {
  name: string;
  ok: boolean;
  error: number;
  allowed: number;
}

/** A canary builds its graph from inputs and knows its answer. */
interface Canary {
  name: string;
  /** What to use where its kernel fails. */
  instead: Readonly<Record<string, string>>;
  inputs: Record<string, { shape: readonly number[]; data: Float32Array }>;
  build(t: Record<string, Tensor>): Tensor;
  expected: ArrayLike<number>;
}

/** Numbers between -1 and 1 without a pattern that a fault could keep. */
function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (Math.imul(i + 1, 2654435761 + 2 * seed) >>> 8) / 2 ** 23 - 1);
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const dot = (n: number, term: (i: number) => number): number => range(n).reduce((sum, i) => sum + term(i), 0);

/** relu(3x3 convolution + residual) over 9 x 7 pixels, 8 to 12 channels: edges of tiles and padding at once. */
function convolution(): Canary {
  const [height, width, inputs, outputs] = [9, 7, 8, 12];
  const x = numbers(height * width * inputs, 1);
  const w = numbers(9 * inputs * outputs, 2);
  const residual = numbers(height * width * outputs, 3);
  const expected = residual.map((r, at) => {
    const [y0, x0, o] = [Math.floor(at / outputs / width), Math.floor(at / outputs) % width, at % outputs];
    const sum = dot(9, (tap) => {
      const [y, xx] = [y0 + Math.floor(tap / 3) - 1, x0 + (tap % 3) - 1];
      if (y < 0 || y >= height || xx < 0 || xx >= width) return 0;
      return dot(inputs, (c) => x[(y * width + xx) * inputs + c] * w[(tap * inputs + c) * outputs + o]);
    });
    return Math.max(0, sum + r);
  });
  return {
    name: 'matrix product',
    instead: { gemm: 'registers' },
    inputs: {
      x: { shape: [1, height, width, inputs], data: x },
      w: { shape: [9, inputs, outputs], data: w },
      residual: { shape: [1, height, width, outputs], data: residual },
    },
    build: (t) => relu(add(conv2d(t.x, t.w, null, { kernel: [3, 3], padding: [1, 1] }), t.residual)),
    expected,
  };
}

/** Attention of 19 tokens, two heads of 8: maximum, exponentials and sums across a workgroup. */
function softAttention(): Canary {
  const [tokens, heads, d] = [19, 2, 8];
  const shape = [1, tokens, heads * d];
  const [q, k, v] = [4, 5, 6].map((seed) => numbers(tokens * heads * d, seed).map((n) => 3 * n));
  const expected = q.map((_, at) => {
    const [token, head, c] = [Math.floor(at / heads / d), Math.floor(at / d) % heads, at % d];
    const place = (t: number, i: number) => (t * heads + head) * d + i;
    const scores = range(tokens).map((t) => dot(d, (i) => q[place(token, i)] * k[place(t, i)]) / Math.sqrt(d));
    const weights = scores.map((s) => Math.exp(s - Math.max(...scores)));
    return dot(tokens, (t) => weights[t] * v[place(t, c)]) / dot(tokens, (t) => weights[t]);
  });
  return {
    name: 'attention',
    instead: { attention: 'scalar' },
    inputs: { q: { shape, data: q }, k: { shape, data: k }, v: { shape, data: v } },
    build: (t) => attention(t.q, t.k, t.v, { heads }),
    expected,
  };
}

/** One query, one head, two points on a 4 x 3 map, one of them half outside: bilinear weights and zero padding. */
function sampling(): Canary {
  const [height, width, channels] = [4, 3, 4];
  const value = numbers(height * width * channels, 7);
  const offsets = Float32Array.from([0.3, -0.4, -2.6, 0.7]);
  const logits = Float32Array.from([0.2, -0.5]);
  const reference = Float32Array.from([0.5, 0.4, 0.6, 0.5]);
  const weights = [...logits].map((l) => Math.exp(l) / dot(2, (i) => Math.exp(logits[i])));
  const at = (y: number, x: number, c: number) => (y < 0 || y >= height || x < 0 || x >= width ? 0 : value[(y * width + x) * channels + c]);
  const expected = range(channels).map((c) =>
    dot(2, (p) => {
      const x = (reference[0] + (offsets[2 * p] / 2) * reference[2] * 0.5) * width - 0.5;
      const y = (reference[1] + (offsets[2 * p + 1] / 2) * reference[3] * 0.5) * height - 0.5;
      const [x0, y0] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - x0, y - y0];
      const top = (1 - fx) * at(y0, x0, c) + fx * at(y0, x0 + 1, c);
      const bottom = (1 - fx) * at(y0 + 1, x0, c) + fx * at(y0 + 1, x0 + 1, c);
      return weights[p] * ((1 - fy) * top + fy * bottom);
    }),
  );
  return {
    name: 'deformable sampling',
    instead: { deformable: 'scalar' },
    inputs: {
      value: { shape: [1, height * width, channels], data: value },
      offsets: { shape: [1, 1, 4], data: offsets },
      logits: { shape: [1, 1, 2], data: logits },
      reference: { shape: [1, 1, 4], data: reference },
    },
    build: (t) => deformableAttention(t.value, t.offsets, t.logits, t.reference, { heads: 1, shapes: [[height, width]], points: [2] }),
    expected,
  };
}

/** The ten largest of 300 with ties. */
function selection(): Canary {
  const scores = numbers(300, 8).map((n) => Math.round(n * 50));
  return {
    name: 'selection',
    instead: {},
    inputs: { scores: { shape: [1, 300, 1], data: scores } },
    build: (t) => topk(t.scores, 10).values,
    expected: [...scores].sort((a, b) => b - a).slice(0, 10),
  };
}

/** Sums of at most a hundred products of numbers up to 3: float32 is right to about 1e-5. */
const TOLERANCE = 1e-3;

async function check(
  gpu: Gpu,
  kernels: KernelCache,
  canaries: readonly Canary[],
  variants: Record<string, string>,
): Promise<SelfTestCheck[]> {
  const graph = new Graph();
  const feeds: Record<string, Float32Array> = {};
  canaries.forEach(({ name, inputs, build }) => {
    const tensors: Record<string, Tensor> = {};
    for (const [local, { shape, data }] of Object.entries(inputs)) {
      feeds[`${name} ${local}`] = data;
      tensors[local] = graph.input(`${name} ${local}`, shape);
    }
    graph.output(name, build(tensors));
  });
  const parameters = new ParameterStore(gpu, { readFloat32: (name) => Promise.reject(new RangeError(name)) });
  let program: Program | null = null;
  try {
    program = await Program.build(gpu, kernels, graph, parameters, { variants });
    const outputs = await program.run(feeds);
    return canaries.map(({ name, expected }) => {
      const found = outputs.get(name)!;
      // Math.max keeps a NaN, which no limit allows.
      const error = Math.max(...Array.from(expected, (value, i) => Math.abs(found[i] - value)));
      return { name, ok: error <= TOLERANCE, error, allowed: TOLERANCE };
    });
  } finally {
    program?.destroy();
    parameters.destroy();
  }
}

/** Takes a few milliseconds on a GPU, compilation aside. Never throws for a wrong answer: the result says it. @throws BackdropError E_GPU_* */
export async function runSelfTest(gpu: Gpu, kernels: KernelCache): Promise<SelfTestResult> {
  const begin = performance.now();
  const canaries = [convolution(), softAttention(), sampling(), selection()];
  const checks = await check(gpu, kernels, canaries, {});
  const wrong = canaries.filter((_, i) => !checks[i].ok);
  const failures = wrong.map(({ name }) => `${name}: wrong result on this adapter`);
  const result = (passed: boolean, variants: Record<string, string> = {}, warnings: string[] = []): SelfTestResult => ({
    passed,
    failures,
    checks,
    variants,
    warnings,
    milliseconds: performance.now() - begin,
  });
  if (wrong.length === 0) return result(true);
  const variants: Record<string, string> = Object.assign({}, ...wrong.map(({ instead }) => instead));
  const still = await check(gpu, kernels, wrong, variants);
  if (still.some(({ ok }) => !ok)) return result(false);
  const names = wrong.map(({ name }) => name).join(', ');
  return result(true, variants, [`This driver gives wrong results in the fast kernels (${names}); plain ones are used, which are slower.`]);
}
