/** For tests of operations: describes a small graph, runs it in the page, gives back its outputs. */
import type { HostArray } from '../../src/graph/program.ts';
import { page } from './gpu.ts';
import type { GraphCase, GraphInput, GraphResult, GraphStep, RunOptions } from './ops.page.ts';

export type { GraphCase, GraphInput, GraphResult, GraphStep, RunOptions };

export interface HostTensor {
  data: HostArray;
  shape: readonly number[];
}

/** Runs a graph. Two runs must agree bit for bit, no buffer may leak, and no WebGPU error may go uncaught. */
export function runGraph(graph: GraphCase): Promise<GraphResult> {
  return page.call<GraphResult>('run-graph', graph);
}

export interface OpOptions extends RunOptions {
  /** How many outputs to read; 1 when left out. */
  outputs?: number;
  /** Gives input i as a window of a larger array: columns in front of and behind it, rows (of a [n, rows, c] array) above and below it. */
  inputWindows?: Readonly<Record<number, Margins>>;
  /** Lets output 0 be written into a window of a larger value, whose other elements must stay as they are. */
  outputWindow?: Margins;
}

export interface Margins {
  left?: number;
  right?: number;
  top?: number;
  bottom?: number;
}

export interface OpResult {
  outputs: HostTensor[];
  statistics: GraphResult['statistics'];
  kernels: string[];
}

/** Runs one operation of tests/setup/op-registry.ts. */
export async function runOp(
  op: string,
  inputs: readonly GraphInput[],
  attributes: unknown = {},
  options: OpOptions = {},
): Promise<OpResult> {
  const { outputs: count = 1, inputWindows = {}, outputWindow, ...run } = options;
  const given: Record<string, GraphInput> = {};
  const steps: GraphStep[] = [];
  const names = inputs.map((input, i) => {
    const margins = inputWindows[i];
    if (!margins) {
      given[`in${i}`] = input;
      return `in${i}`;
    }
    given[`in${i}`] = surround(input, margins);
    return cut(steps, `in${i}`, margins, input.shape, `cut${i}`);
  });
  const outputs = Array.from({ length: count }, (_, i) => `out${i}`);
  const step: GraphStep = { op, inputs: names, outputs, attributes };
  if (!outputWindow) {
    const result = await runGraph({ inputs: given, steps: [...steps, step], outputs, options: run });
    return { outputs: outputs.map((name) => result.outputs[name]), statistics: result.statistics, kernels: result.kernels };
  }
  // The shape of the output is needed to write the margins beside it: a first run without them tells.
  const plain = await runOp(op, inputs, attributes, { ...run, inputWindows, outputs: count });
  const { shape } = plain.outputs[0];
  const { left = 0, right = 0, top = 0, bottom = 0 } = outputWindow;
  const byRows = top + bottom > 0;
  const [images, rows, columns] = [shape[0], shape.slice(1, -1).reduce((a, b) => a * b, 1), shape[shape.length - 1]];
  const margin = (size: number): GraphInput => ({
    shape: byRows ? [images, size, columns] : [...shape.slice(0, -1), size],
    data: new Float32Array((byRows ? images * columns : images * rows) * size).fill(-7.5),
  });
  const sides = byRows ? [top, bottom] : [left, right];
  const parts: string[] = [];
  sides.forEach((size, i) => {
    if (size === 0) return;
    given[`side${i}`] = margin(size);
    // A copy, since an input cannot be placed inside the concatenation; traced before the operation, so that it would be overwritten.
    steps.push({ op: 'pointwise', attributes: { row: 'identity' }, inputs: [`side${i}`], outputs: [`margin${i}`] });
    parts.push(`margin${i}`);
  });
  steps.push(step);
  const order = [...parts.filter((p) => p === 'margin0'), 'out0', ...parts.filter((p) => p === 'margin1')];
  steps.push({ op: byRows ? 'concatRows' : 'concatColumns', inputs: order, outputs: ['whole'] });
  const read = ['whole', ...outputs.slice(1)];
  const result = await runGraph({ inputs: given, steps, outputs: read, options: run });
  if (result.kernels.length !== plain.kernels.length + parts.length)
    throw new Error('the output was copied into its window, not written there');
  const whole = result.outputs.whole.data as Float32Array;
  const inside = new Float32Array(images * rows * columns);
  const [before, after] = [sides[0], sides[1]];
  const length = byRows ? rows * columns : columns;
  const unit = byRows ? columns : 1;
  const stride = length + (before + after) * unit;
  for (let line = 0; line * length < inside.length; line++) {
    const at = line * stride;
    inside.set(whole.subarray(at + before * unit, at + before * unit + length), line * length);
    const outside = [...whole.subarray(at, at + before * unit), ...whole.subarray(at + before * unit + length, at + stride)];
    if (outside.some((v) => v !== -7.5)) throw new Error(`${op} wrote outside its window, in line ${line}`);
  }
  return {
    outputs: [{ data: inside, shape }, ...outputs.slice(1).map((name) => result.outputs[name])],
    statistics: result.statistics,
    kernels: result.kernels,
  };
}

/** The array inside a larger one filled with a value that would be noticed. */
function surround(input: GraphInput, { left = 0, right = 0, top = 0, bottom = 0 }: Margins): GraphInput {
  const { shape, data } = input;
  const columns = shape[shape.length - 1];
  const images = shape.length > 2 ? shape[0] : 1;
  const rows = data.length / columns / images;
  if (top + bottom > 0 && shape.length !== 3) throw new Error('rows around a window need a [n, rows, columns] input');
  const [wide, high] = [left + columns + right, top + rows + bottom];
  const all =
    data instanceof Uint32Array
      ? new Uint32Array(images * high * wide).fill(0x7fffffff)
      : new Float32Array(images * high * wide).fill(1e30);
  for (let n = 0; n < images; n++) {
    for (let r = 0; r < rows; r++) {
      const from = (n * rows + r) * columns;
      all.set(data.subarray(from, from + columns), (n * high + top + r) * wide + left);
    }
  }
  return { ...input, data: all, shape: [...(top + bottom > 0 ? [images, high] : shape.slice(0, -1)), wide] };
}

function cut(
  steps: GraphStep[],
  name: string,
  { left = 0, right = 0, top = 0, bottom = 0 }: Margins,
  shape: readonly number[],
  to: string,
): string {
  let current = name;
  if (top + bottom > 0) {
    steps.push({ op: 'rowsFrom', inputs: [current], outputs: [`${to}r`], attributes: { start: top, length: shape[1] } });
    current = `${to}r`;
  }
  if (left + right > 0) {
    steps.push({ op: 'columnsFrom', inputs: [current], outputs: [to], attributes: { start: left, length: shape[shape.length - 1] } });
    current = to;
  }
  return current;
}
