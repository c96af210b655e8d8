/** One golden case as a graph: inputs come in PyTorch's layout and leave in ours, outputs the other way round. */
import { BackdropError } from '../errors.ts';
import { Graph, type Tensor } from '../graph/graph.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import type { HostArray } from '../graph/program.ts';
import type { GoldenTensor, OpsCase } from './golden.ts';
import { denseWeights, depthwiseWeights, linearWeights, toNchw, toNhwc } from './layout.ts';

type Convert = (values: HostArray, shape: readonly number[]) => ArrayLike<number>;

/** Thrown by a builder whose operation exists, but not what this case asks of it. */
export class Later extends Error {}

export class CaseBuilder {
  readonly graph = new Graph();
  readonly feeds: Record<string, HostArray> = {};
  /** What the graph's outputs become before they are compared. */
  readonly conversions = new Map<string, Convert>();
  /** Results that no kernel computes: tables made once on the CPU. */
  readonly hostResults = new Map<string, ArrayLike<number>>();
  /** Outputs that must be equal: indices, flags. */
  readonly exact = new Set<string>();
  readonly #case: OpsCase;
  readonly #inputs: ReadonlyMap<string, GoldenTensor>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  constructor(golden: OpsCase, inputs: ReadonlyMap<string, GoldenTensor>, outputShapes: ReadonlyMap<string, readonly number[]>) {
    this.#case = golden;
    this.#inputs = inputs;
    this.#shapes = outputShapes;
  }

  attr<T>(name: string, fallback?: T): T {
    const value = this.#case.attrs[name] ?? fallback;
    if (value === undefined) throw new BackdropError('E_VERIFY', `case ${this.#case.name} has no attribute ${name}`);
    return value as T;
  }

  /** An attribute that is one number or a pair. */
  pair(name: string, fallback?: number): [number, number] {
    const value = this.attr<number | [number, number]>(name, fallback);
    return typeof value === 'number' ? [value, value] : value;
  }

  get attrs(): Readonly<Record<string, unknown>> {
    return this.#case.attrs;
  }

  get inputNames(): readonly string[] {
    return this.#case.inputs;
  }

  get outputNames(): readonly string[] {
    return this.#case.outputs;
  }

  has(name: string): boolean {
    return this.#inputs.has(name);
  }

  /** Does the case ask for this output? */
  wants(name: string): boolean {
    return this.#case.outputs.includes(name);
  }

  golden(name: string): GoldenTensor {
    const tensor = this.#inputs.get(name);
    if (!tensor) throw new BackdropError('E_VERIFY', `case ${this.#case.name} has no input ${name}`);
    return tensor;
  }

  shape(name: string): readonly number[] {
    return this.golden(name).shape;
  }

  outputShape(name: string): readonly number[] {
    return this.#shapes.get(name) ?? [];
  }

  feed(name: string, shape: readonly number[], values: HostArray): Tensor {
    this.feeds[name] = values;
    return this.graph.input(name, shape.length > 0 ? shape : [1], values instanceof Uint32Array ? 'u32' : 'f32');
  }

  /** An input as it is, or under another shape. */
  input(name: string, shape: readonly number[] = this.shape(name)): Tensor {
    return this.feed(name, shape, this.golden(name).values);
  }

  /** An [n, c, h, w] input as [n, h, w, c]. */
  image(name: string): Tensor {
    const { shape, values } = this.golden(name);
    const [n, c, h, w] = shape;
    return this.feed(name, [n, h, w, c], toNhwc(values, shape));
  }

  /** Integers as u32. */
  indices(name: string, shape: readonly number[] = this.shape(name)): Tensor {
    return this.feed(name, shape, Uint32Array.from(this.golden(name).values));
  }

  /** A parameter made of an input. */
  parameter(name: string, shape: readonly number[], build: (values: Float32Array) => Float32Array = (values) => values): Tensor {
    const { values } = this.golden(name);
    return this.graph.parameter({ key: name, shape, type: 'f32', sources: [], build: () => build(values) });
  }

  vector(name: string): Tensor {
    return this.parameter(name, [this.shape(name).reduce((a, b) => a * b, 1)]);
  }

  optional(name: string): Tensor | null {
    return this.has(name) ? this.vector(name) : null;
  }

  /** A convolution's weights for an input of `channels` channels. */
  convWeights(name: string, channels: number, groups: number): Tensor {
    const shape = this.shape(name);
    const [out, inner, kh, kw] = shape;
    if (groups > 1 && groups === channels) {
      return this.parameter(name, [kh * kw, out / channels, channels], (values) => depthwiseWeights(values, shape, channels));
    }
    return this.parameter(name, [kh * kw, inner, out], (values) => denseWeights(values, shape));
  }

  linearWeights(name: string): Tensor {
    const shape = this.shape(name);
    return this.parameter(name, [1, shape[1], shape[0]], (values) => linearWeights(values, shape));
  }

  /** Parameters `p:<name>` and running statistics `b:<name>` as a checkpoint whose names begin with `prefix`. */
  checkpoint(prefix = ''): { source: ParameterSource; shapes: Map<string, readonly number[]> } {
    const tensors = new Map<string, GoldenTensor>();
    for (const name of this.inputNames) {
      if (/^[pb]:/.test(name)) tensors.set(prefix + name.slice(2), this.golden(name));
    }
    return {
      shapes: new Map([...tensors].map(([name, { shape }]) => [name, shape])),
      source: {
        async readFloat32(name) {
          const tensor = tensors.get(name);
          if (!tensor) throw new BackdropError('E_CKPT_ARCH', `the case has no parameter ${name}`, { details: { tensor: name } });
          return tensor.values;
        },
      },
    };
  }

  /** A result in PyTorch's own order of elements. */
  output(name: string, tensor: Tensor, convert: Convert = (values) => values): void {
    if (!this.wants(name)) return;
    this.graph.output(name, tensor);
    this.conversions.set(name, convert);
  }

  /** A map [n, h, w, c] whose reference is [n, c, h, w]. */
  outputImage(name: string, tensor: Tensor): void {
    const [n, h, w, c] = tensor.shape;
    this.output(name, tensor, (values) => toNchw(values, [n, c, h, w]));
  }

  outputIndices(name: string, tensor: Tensor): void {
    this.output(name, tensor);
    this.exact.add(name);
  }

  host(name: string, values: ArrayLike<number>): void {
    this.hostResults.set(name, values);
  }

  /** @throws Later */
  later(reason: string): never {
    throw new Later(reason);
  }
}

/** Builds a case's graph; may also return the checkpoint that feeds its parameters. */
export type CaseRecipe = (b: CaseBuilder) => void | { source: ParameterSource };
