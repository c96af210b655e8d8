/**
 * Gradients of an operation against float64: the reference is the operation's forward, written down in float64, differentiated
 * numerically. The stencil of four points at distance h is exact to h^4, about 1e-12 here: far below float32's roundings, and
 * no derivation by hand that could share the kernel's mistake. Piecewise functions must have no kink within 2 h of the inputs.
 */
import { type GraphInput, type GraphStep, type RunOptions, runGraph } from './gpu-ops.ts';
import { random, sizeOf } from './random.ts';
import { expectClose, expectFar } from './tolerance.ts';

export type Forward = (inputs: readonly Float64Array[]) => ArrayLike<number>[];

export interface GradientCase {
  op: string;
  inputs: readonly GraphInput[];
  attributes?: unknown;
  /** Shapes of the outputs that get a seed. */
  outputs: readonly (readonly number[])[];
  /** Inputs whose gradients are compared. */
  wanted: readonly number[];
  forward: Forward;
  /** Roundings in a chain; the allowed error is 4 of them, of the gradient's largest element. */
  depth: number;
  /** Distance of the stencil's points; 1e-3 when left out, less where kinks are near. */
  distance?: number;
  /** For gradients that are zero in exact arithmetic. */
  floor?: number;
  options?: RunOptions;
  /** Columns put in front of and behind these inputs and the seed, so that they are windows of wider arrays. */
  margins?: Readonly<Partial<Record<number | 'seed', number>>>;
}

export interface GradientResult {
  /** Ours and the reference, by position in `wanted`. */
  ours: Float32Array[];
  reference: Float64Array[];
  kernels: string[];
}

/** d <forward, seeds> / d inputs[at], element by element. */
export function differences(
  forward: Forward,
  inputs: readonly Float64Array[],
  seeds: readonly ArrayLike<number>[],
  at: number,
  h = 1e-3,
): Float64Array {
  const x = Float64Array.from(inputs[at]);
  const given = inputs.map((input, i) => (i === at ? x : input));
  const value = (): number => {
    let sum = 0;
    forward(given).forEach((y, i) => {
      for (let k = 0; k < seeds[i].length; k++) sum += y[k] * seeds[i][k];
    });
    return sum;
  };
  return x.map((v, k) => {
    const [f1, b1, f2, b2] = [1, -1, 2, -2].map((step) => {
      x[k] = v + step * h;
      return value();
    });
    x[k] = v;
    return (8 * (f1 - b1) - (f2 - b2)) / (12 * h);
  });
}

function widened({ data, shape, ...rest }: GraphInput, margin: number): GraphInput {
  const columns = shape[shape.length - 1];
  const wide = new Float32Array((data.length / columns) * (columns + 2 * margin)).fill(1e30);
  for (let row = 0; row * columns < data.length; row++) {
    wide.set((data as Float32Array).subarray(row * columns, (row + 1) * columns), row * (columns + 2 * margin) + margin);
  }
  return { ...rest, data: wide, shape: [...shape.slice(0, -1), columns + 2 * margin] };
}

/** Runs an operation and its gradients twice (the same bits), and the reference. */
export async function gradientsOf(given: GradientCase): Promise<GradientResult> {
  const { op, inputs, attributes = {}, outputs, wanted, forward, options = {}, margins = {} as Record<string, number> } = given;
  const seeds: GraphInput[] = outputs.map((shape, i) => ({ data: random(900 + i).array(sizeOf(shape)), shape }));
  const arrays: Record<string, GraphInput> = {};
  const steps: GraphStep[] = [];
  const enter = (name: string, input: GraphInput, margin = 0): string => {
    arrays[name] = margin > 0 ? widened(input, margin) : input;
    if (margin === 0) return name;
    const length = input.shape[input.shape.length - 1];
    steps.push({ op: 'columnsFrom', inputs: [name], outputs: [`${name}w`], attributes: { start: margin, length } });
    return `${name}w`;
  };
  const names = inputs.map((input, i) => enter(`in${i}`, input, margins[i as never]));
  const results = outputs.map((_, i) => `out${i}`);
  steps.push({ op, inputs: names, outputs: results, attributes });
  const seedNames = seeds.map((seed, i) => enter(`seed${i}`, seed, margins['seed' as never]));
  // The gradient of a window is that of the array around it: its own columns are read.
  const of = wanted.map((i) => names[i].replace(/w$/, ''));
  const made = wanted.map((i) => `grad${i}`);
  steps.push({ op: 'gradients', inputs: [...results, ...seedNames, ...of], outputs: made, attributes: { outputs: outputs.length } });
  const result = await runGraph({ inputs: arrays, steps, outputs: made, options });
  const wide = (data: ArrayLike<number>): Float64Array => Float64Array.from(data);
  const exact = inputs.map(({ data }) => wide(data));
  const ours = wanted.map((i) => {
    const data = result.outputs[`grad${i}`].data as Float32Array;
    const margin = margins[i as never] ?? 0;
    const { shape } = inputs[i];
    const columns = shape[shape.length - 1];
    return margin === 0
      ? data
      : data.filter((_, k) => k % (columns + 2 * margin) >= margin && k % (columns + 2 * margin) < margin + columns);
  });
  return {
    ours,
    reference: wanted.map((i) =>
      differences(
        forward,
        exact,
        seeds.map(({ data }) => wide(data)),
        i,
        given.distance,
      ),
    ),
    kernels: result.kernels,
  };
}

/** Compares, and rejects a wrong sign, a factor and exchanged neighbours. */
export async function expectGradients(given: GradientCase): Promise<GradientResult> {
  const result = await gradientsOf(given);
  result.ours.forEach((ours, i) => {
    const value = result.reference[i];
    const largest = value.reduce((best, v) => Math.max(best, Math.abs(v)), 0);
    const magnitude = value.map(() => largest);
    const tolerance = { depth: given.depth, floor: given.floor ?? 1e-7 };
    try {
      expectClose(ours, { value, magnitude }, tolerance);
    } catch (error) {
      throw new Error(`gradient of input ${given.wanted[i]}: ${error instanceof Error ? error.message : error}`);
    }
    if (largest < 1e-3) return;
    expectFar(ours, { value: value.map((v) => -v), magnitude }, tolerance);
    expectFar(ours, { value: value.map((v) => v * 1.001), magnitude }, tolerance);
    // Where all neighbours are alike (a sum's gradient), exchanging them changes nothing.
    const exchanged = value.map((v, k) => value[k ^ 1] ?? v);
    if (exchanged.some((v, k) => Math.abs(v - value[k]) > 0.01 * largest)) expectFar(ours, { value: exchanged, magnitude }, tolerance);
  });
  return result;
}
