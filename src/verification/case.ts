/** One golden case as a graph: inputs come in PyTorch's layout and leave in ours, outputs the other way round. */
import { BackdropError } from '../errors.ts';
import { Graph, type Tensor } from '../graph/graph.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import type { HostArray } from '../graph/program.ts';
import { Context } from '../nn/context.ts';
import { ParameterTable, Scope } from '../nn/parameters.ts';
import { Training } from '../nn/training.ts';
import { add, scale } from '../ops/pointwise.ts';
import { MOMENTUM } from '../training/optimizer.ts';
import type { Get } from './adjoint.ts';
import { isComputed } from './formula.ts';
import type { GoldenTensor, OpsCase } from './golden.ts';
import { denseWeights, depthwiseWeights, elementOf, linearWeights, toNchw, toNhwc } from './layout.ts';

type Convert = (values: HostArray, shape: readonly number[]) => ArrayLike<number>;

/** A tensor of the graph that is made of the file's: from `sources`, which are the case's `inputs` of the same places. */
export interface Leaf {
  readonly tensor: Tensor;
  readonly sources: readonly string[];
  readonly inputs: readonly string[];
  readonly get: Get;
  build(get: Get): ArrayLike<number>;
}

/** A running statistic after a batch, as the optimizer moves it. */
export const moved = (running: Tensor, batch: Tensor, momentum = MOMENTUM): Tensor =>
  add(scale(running, 1 - momentum), scale(batch, momentum));

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
  /** Outputs that are whole numbers, of ours from below: 2.7 is 2. */
  readonly floored = new Set<string>();
  /** Which input a parameter's source is. */
  readonly #checkpoint = new Map<string, string>();
  readonly #fed: Leaf[] = [];
  #training: Training | null = null;
  readonly #case: OpsCase;
  readonly #inputs: ReadonlyMap<string, GoldenTensor>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  constructor(golden: OpsCase, inputs: ReadonlyMap<string, GoldenTensor>, outputShapes: ReadonlyMap<string, readonly number[]>) {
    this.#case = golden;
    this.#inputs = inputs;
    this.#shapes = outputShapes;
  }

  get name(): string {
    return this.#case.name;
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

  /** Booleans are stored as bytes. */
  isBoolean(name: string): boolean {
    return this.golden(name).dtype === 'u8' || this.golden(name).dtype === 'bool';
  }

  outputShape(name: string): readonly number[] {
    return this.#shapes.get(name) ?? [];
  }

  /** An input of the graph made of the case's input `from`. */
  feed(name: string, shape: readonly number[], build: (values: Float32Array) => HostArray = (values) => values, from = name): Tensor {
    const values = build(this.golden(from).values);
    this.feeds[name] = values;
    const tensor = this.graph.input(name, shape.length > 0 ? shape : [1], values instanceof Uint32Array ? 'u32' : 'f32');
    this.#fed.push({ tensor, sources: [from], inputs: [from], get: this.#get, build: (get) => build(get(from)) });
    return tensor;
  }

  /** Everything the graph is fed, except what stands for no input. */
  get leaves(): readonly Leaf[] {
    const parameters = [...this.graph.parameters.values()].map((tensor): Leaf => {
      const { sources, build } = tensor.parameter!;
      return { tensor, sources, inputs: sources.map((source) => this.#inputOf(source)), get: this.#get, build };
    });
    return [...this.#fed, ...parameters];
  }

  #inputOf(source: string): string {
    return this.#checkpoint.get(source) ?? source;
  }

  readonly #get: Get = (source) => this.golden(this.#inputOf(source)).values;

  /** An input as it is, or under another shape. */
  input(name: string, shape: readonly number[] = this.shape(name)): Tensor {
    return this.feed(name, shape);
  }

  /** An [n, c, h, w] input as [n, h, w, c]. */
  image(name: string): Tensor {
    const shape = this.shape(name);
    const [n, c, h, w] = shape;
    return this.feed(name, [n, h, w, c], (values) => toNhwc(values, shape));
  }

  /** Integers as u32. */
  indices(name: string, shape: readonly number[] = this.shape(name)): Tensor {
    return this.feed(name, shape, (values) => Uint32Array.from(values));
  }

  /** A parameter made of an input. */
  parameter(name: string, shape: readonly number[], build: (values: Float32Array) => Float32Array = (values) => values): Tensor {
    return this.graph.parameter({ key: name, shape, type: 'f32', sources: [name], build: (get) => build(get(name)) });
  }

  vector(name: string): Tensor {
    return this.parameter(name, [this.shape(name).reduce((a, b) => a * b, 1)]);
  }

  /** A parameter in its own shape. */
  vectorRows(name: string): Tensor {
    return this.parameter(name, this.shape(name));
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

  /** A parameter worked out from several inputs. */
  computed(key: string, shape: readonly number[], sources: readonly string[], build: (get: Get) => Float32Array): Tensor {
    return this.graph.parameter({ key, shape, type: 'f32', sources, build });
  }

  /**
   * Constructs a layer of ours whose entries are the case's parameters `p:<name>` and running statistics `b:<name>`, under
   * `prefix`. Entries that the layer computes or counts are left out.
   * @throws BackdropError E_VERIFY where the layer's entries are not the case's, by name or by shape
   */
  module<T>(make: (scope: Scope) => T, prefix = ''): T {
    const given = new Map<string, GoldenTensor>();
    for (const name of this.inputNames) if (/^[pb]:/.test(name)) given.set(prefix + name.slice(2), this.golden(name));
    const table = new ParameterTable();
    const made = make(new Scope(table));
    const needed = [...table].filter(([name]) => !isComputed(name) && !name.endsWith('num_batches_tracked'));
    const wrong = needed.filter(([name, { shape }]) => given.get(name)?.shape.join() !== shape.join()).map(([name]) => name);
    const unused = [...given.keys()].filter((name) => !table.has(name));
    if (wrong.length + unused.length > 0) {
      const lists = [wrong, unused].map((names) => names.join(', ') || 'none');
      throw new BackdropError('E_VERIFY', `our layer's entries differ: missing or of another shape ${lists[0]}; unknown ${lists[1]}`);
    }
    for (const name of this.inputNames) if (/^[pb]:/.test(name)) this.#checkpoint.set(prefix + name.slice(2), name);
    return made;
  }

  /** What feeds the layers that `module` made. */
  get source(): ParameterSource {
    return {
      readFloat32: async (name) => {
        const input = this.#inputOf(name);
        if (!this.has(input)) throw new BackdropError('E_CKPT_ARCH', `the case has no parameter ${name}`, { details: { tensor: name } });
        return this.golden(input).values;
      },
    };
  }

  /**
   * A context in which the stages named in `stages` (by output) are tapped; `takeStages` then makes them outputs. Where the case
   * says so, batch norms are in training; `takeStatistics` then makes what becomes of their running statistics outputs.
   */
  context(stages: Readonly<Record<string, string>> = {}): Context {
    const wanted = new Set(Object.entries(stages).flatMap(([output, stage]) => (this.wants(output) ? [stage] : [])));
    if (this.attr('training', false)) this.#training ??= new Training(this.graph);
    return new Context(this.graph, (stage) => wanted.has(stage), this.#training);
  }

  takeStatistics(): void {
    for (const { name, tensors, batch, toPyTorch } of this.#training?.statistics ?? []) {
      this.output(this.#inputOf(name).replace(/^b:/, 'b_after:'), moved(tensors[0], batch), (values) => toPyTorch([values]));
    }
  }

  takeStages(stages: Readonly<Record<string, string>>): void {
    for (const [output, stage] of Object.entries(stages)) {
      if (!this.wants(output)) continue;
      const tensor = this.graph.outputs.get(`stage/${stage}`);
      if (!tensor) throw new BackdropError('E_VERIFY', `our layer has no stage ${stage}`);
      this.graph.outputs.delete(`stage/${stage}`);
      this.outputAs(output, tensor);
    }
  }

  /** A result in PyTorch's own order of elements. */
  output(name: string, tensor: Tensor, convert: Convert = (values) => values): void {
    if (!this.wants(name)) return;
    this.result(name, tensor, convert);
  }

  /** A result whether or not the case lists it. */
  result(name: string, tensor: Tensor, convert: Convert = (values) => values): void {
    this.graph.output(name, tensor);
    this.conversions.set(name, convert);
  }

  /** A map [n, h, w, c] whose reference is [n, c, h, w]. */
  outputImage(name: string, tensor: Tensor): void {
    const [n, h, w, c] = tensor.shape;
    this.output(name, tensor, (values) => toNchw(values, [n, c, h, w]));
  }

  /** As outputImage for maps; anything else keeps its order. Single planes of k * k columns are spread over their cells. */
  outputAs(name: string, tensor: Tensor): void {
    const wanted = this.outputShape(name);
    const at = elementOf(wanted, tensor.shape);
    if (!at) throw new BackdropError('E_VERIFY', `${name}: ours is [${tensor.shape.join(', ')}], the file's [${wanted.join(', ')}]`);
    this.output(name, tensor, (values) => Float32Array.from(values, (_, i) => values[at(i)]));
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

/** Builds a case's graph. */
export type CaseRecipe = (b: CaseBuilder) => void;
