/**
 * The static graph that tracing a model builds: tensors, the operations between them, and where each tensor lies.
 * Arrays are seen as [images, rows, columns]: the first dimension, the product of the middle ones, and the last. A tensor
 * may be a window (some rows, some columns) of a larger value, which is how concatenations and slices cost nothing.
 */
import { BackdropError } from '../errors.ts';
import type { KernelSpec } from '../gpu/kernels.ts';
import type { GradientRule } from './autodiff.ts';
import type { PointwiseChain } from './pointwise.ts';

export type ElementType = 'f32' | 'u32';

/** Memory of its own: `images x rows x columns` elements; or a window of another value, once placed there. */
export interface Value {
  readonly id: number;
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
  readonly type: ElementType;
  /** What fills it: an operation, the caller, or a checkpoint. */
  readonly kind: 'activation' | 'input' | 'parameter';
  readonly label: string;
  /** As a window of rows and columns; or, the last of such places, densely from an element of it on. */
  placedIn: { value: Value; row: number; column: number } | MemoryPlace | null;
}

/** Dense memory within a larger value. */
export interface MemoryPlace {
  readonly value: Value;
  /** Of the first element. */
  readonly element: number;
}

/** Offset and strides in elements of the root value. */
export interface Layout {
  root: Value;
  offset: number;
  batch: number;
  pitch: number;
}

/** A parameter as the kernels want it, computed from checkpoint tensors when a Program is built. */
export interface ParameterSpec {
  /** Equal keys are the same data: Programs of several sizes share them. */
  readonly key: string;
  readonly shape: readonly number[];
  readonly type: ElementType;
  /** One value a row, stored four times, so that kernels which walk vec4f can broadcast it along columns. Shape [..., 1]. */
  readonly replicated?: boolean;
  /** Names of the checkpoint's tensors that `build` asks for. */
  readonly sources: readonly string[];
  build(get: (name: string) => Float32Array): Float32Array | Uint32Array;
}

/** One kernel launch. */
export interface Dispatch extends KernelSpec {
  label: string;
  /** Binding name to tensor. Read bindings left out are bound to some other read tensor and must not be used by the kernel. */
  bind: Readonly<Record<string, Tensor>>;
  params: Readonly<Record<string, number>>;
  grid: readonly [number, number, number];
  /** Floating-point operations, for the bench. */
  flops?: number;
  /** Values in the memory of a bound one that it writes. */
  covers?: readonly Value[];
}

export interface LowerContext {
  /** Adapter facts that a kernel choice may depend on. */
  readonly target: Target;
  /** A tensor that lives only inside the operation being lowered. */
  temporary(shape: readonly number[], type?: ElementType): Tensor;
  /**
   * Room for `parts` copies of what the tensors of `sums` hold, one behind the other in each: [parts * elements of a copy]. Their sum
   * over the parts is written to `sums`, which lie without gaps, in one launch with other operations' sums, before anything
   * reads them.
   */
  partials(kind: PartSums, sums: readonly Tensor[], parts: number): Tensor;
}

/** A sum of several copies, all in elements. */
export interface PartSum {
  /** Of the sum, and of each copy. */
  readonly size: number;
  readonly parts: number;
  /** Where the first copy lies in the scratch, and how far it is to the next. */
  readonly first: number;
  readonly distance: number;
  /** Where the sum lies. */
  readonly at: number;
}

/** The last stage of sums that are computed in parts (ops/part-sums.ts). */
export interface PartSums {
  /** Adds copies in the scratch, and stores the sums in `y`. */
  launch(scratch: Tensor, y: Tensor, sums: readonly PartSum[]): Dispatch;
}

export interface Target {
  readonly software: boolean;
  readonly subgroups: boolean;
  readonly maxStorageBuffers: number;
  readonly maxWorkgroupStorage: number;
  /** Forces a variant by name where an operation has it, for tests: `gemm: 'registers'`. */
  readonly variants: Readonly<Record<string, string>>;
}

/** An operation: its shape rule and its kernels. `Attributes` are plain data. */
export interface Operation<Attributes = unknown> {
  readonly name: string;
  /** Shapes and types of the outputs. Throws E_SHAPE. */
  infer(inputs: readonly Tensor[], attributes: Attributes): { shape: readonly number[]; type?: ElementType }[];
  lower(node: Node<Attributes>, context: LowerContext): Dispatch[];
  /** May a pointwise chain be applied to output 0 before it is stored / to input 0 when it is loaded? */
  readonly fusesEpilogue?: (node: Node<Attributes>) => boolean;
  readonly fusesPrologue?: (node: Node<Attributes>) => boolean;
  /** Are the kernels unable to write into a place within a larger value? */
  readonly denseOutputs?: boolean;
  /** Extra tensors that prologue and epilogue may read together. */
  readonly maxExtras?: number;
  /**
   * Is output 0 computed about as fast as its inputs are read? Then recomputation (recompute.ts) may do it again: by the node itself,
   * or by another that makes use of the node's other outputs and takes over its epilogue. The bits must be the same.
   */
  readonly again?: true | ((node: Node<Attributes>) => Pick<Node, 'operation' | 'attributes' | 'inputs'>);
  /** Of operations outside the library; its own are listed in ops/gradient.ts, so that a page which only detects loads none. */
  readonly gradient?: GradientRule<Attributes>;
}

export interface Node<Attributes = unknown> {
  readonly operation: Operation<Attributes>;
  readonly attributes: Attributes;
  inputs: Tensor[];
  outputs: Tensor[];
  scope: string;
  prologue: PointwiseChain | null;
  epilogue: PointwiseChain | null;
}

export class Tensor {
  readonly graph: Graph;
  readonly shape: readonly number[];
  readonly type: ElementType;
  value: Value;
  /** First row and column inside `value`. */
  row: number;
  column: number;
  producer: Node | null = null;
  parameter: ParameterSpec | null = null;
  /** No gradient flows through this use of the value. */
  detached = false;

  constructor(graph: Graph, shape: readonly number[], type: ElementType, value: Value, row = 0, column = 0) {
    this.graph = graph;
    this.shape = shape;
    this.type = type;
    this.value = value;
    this.row = row;
    this.column = column;
  }

  get images(): number {
    return split(this.shape)[0];
  }
  get rows(): number {
    return split(this.shape)[1];
  }
  get columns(): number {
    return split(this.shape)[2];
  }
  get size(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }

  /** Where the tensor lies in its root value. */
  layout(): Layout {
    let { value, row, column } = this;
    let place = value.placedIn;
    while (place && 'row' in place) {
      row += place.row;
      column += place.column;
      value = place.value;
      place = value.placedIn;
    }
    const offset = row * value.columns + column + (place?.element ?? 0);
    return { root: place?.value ?? value, offset, batch: value.rows * value.columns, pitch: value.columns };
  }

  /** The same elements under a shape with the same images, rows and columns (`reshape` in ops copies for any other). */
  viewAs(shape: readonly number[]): Tensor {
    const [images, rows, columns] = split(shape);
    if (images !== this.images || rows !== this.rows || columns !== this.columns) {
      throw shapeError('view', `${show(this.shape)} cannot be seen as ${show(shape)}`);
    }
    return this.window(shape, 0, 0);
  }

  window(shape: readonly number[], row: number, column: number): Tensor {
    const view = new Tensor(this.graph, shape, this.type, this.value, this.row + row, this.column + column);
    view.producer = this.producer;
    view.detached = this.detached;
    return view;
  }

  /** The same elements, seen as a constant by differentiation. */
  detach(): Tensor {
    const view = this.window(this.shape, 0, 0);
    view.detached = true;
    return view;
  }

  /** Columns [start, start + length) of the last dimension, without a copy. */
  columnsFrom(start: number, length: number): Tensor {
    if (start < 0 || start + length > this.columns) throw shapeError('slice', `columns ${start}..${start + length} of ${show(this.shape)}`);
    return this.window([...this.shape.slice(0, -1), length], 0, start);
  }

  /** Rows [start, start + length) of the second-last dimension of a [images, rows, columns] tensor, without a copy. */
  rowsFrom(start: number, length: number): Tensor {
    if (this.shape.length !== 3) throw shapeError('slice', `rows of ${show(this.shape)}: expected [batch, rows, columns]`);
    if (start < 0 || start + length > this.rows) throw shapeError('slice', `rows ${start}..${start + length} of ${show(this.shape)}`);
    return this.window([this.shape[0], length, this.shape[2]], start, 0);
  }
}

/** [images, rows, columns] of a shape. */
export function split(shape: readonly number[]): [number, number, number] {
  if (shape.length === 0) return [1, 1, 1];
  const columns = shape[shape.length - 1];
  if (shape.length === 1) return [1, 1, columns];
  if (shape.length === 2) return [1, shape[0], columns];
  return [shape[0], shape.slice(1, -1).reduce((a, b) => a * b, 1), columns];
}

export function show(shape: readonly number[], names?: readonly string[]): string {
  return `[${shape.map((n, i) => (names?.[i] ? `${names[i]} ${n}` : n)).join(', ')}]`;
}

export function shapeError(operation: string, message: string, details: Record<string, unknown> = {}): BackdropError {
  return new BackdropError('E_SHAPE', `${operation}: ${message}`, { details });
}

export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs = new Map<string, Tensor>();
  readonly outputs = new Map<string, Tensor>();
  readonly parameters = new Map<string, Tensor>();
  /** Arrays that a Program writes into memory of its builder's. */
  readonly results = new Map<string, Tensor>();
  /** Nodes before the first that differentiation has appended. */
  forwardNodes = Infinity;
  #values = 0;
  #scope: string[] = [];

  value(shape: readonly number[], type: ElementType, kind: Value['kind'], label: string): Value {
    const [images, rows, columns] = split(shape);
    return { id: this.#values++, images, rows, columns, type, kind, label, placedIn: null };
  }

  /** An array that the caller writes before a run. */
  input(name: string, shape: readonly number[], type: ElementType = 'f32'): Tensor {
    if (shape.some((n) => !Number.isInteger(n) || n < 1))
      throw shapeError('input', `${name} has shape ${show(shape)}; sizes are positive integers`);
    const tensor = new Tensor(this, shape, type, this.value(shape, type, 'input', name));
    this.inputs.set(name, tensor);
    return tensor;
  }

  /** An array from the checkpoint (or computed once), the same in every run. */
  parameter(spec: ParameterSpec): Tensor {
    const known = this.parameters.get(spec.key);
    if (known) return known;
    const stored = spec.replicated ? [...spec.shape.slice(0, -1), 4] : spec.shape;
    const tensor = new Tensor(this, spec.shape, spec.type, this.value(stored, spec.type, 'parameter', spec.key));
    tensor.parameter = spec;
    this.parameters.set(spec.key, tensor);
    return tensor;
  }

  /** Names a tensor to be read back. A tensor that is named is never fused away. */
  output(name: string, tensor: Tensor): void {
    this.outputs.set(name, tensor);
  }

  /**
   * Names a tensor to be written into memory that `ProgramOptions.results` gives. It must be the whole of an operation's output
   * that no other operation reads, since a kernel may not read and write one buffer.
   */
  result(name: string, tensor: Tensor): void {
    this.results.set(name, tensor);
  }

  /** Runs `body` with a scope name in front of its nodes' labels. */
  scoped<T>(name: string, body: () => T): T {
    this.#scope.push(name);
    try {
      return body();
    } finally {
      this.#scope.pop();
    }
  }

  add<A>(operation: Operation<A>, inputs: readonly Tensor[], attributes: NoInfer<A>): Tensor[] {
    const scope = [...this.#scope, operation.name].join('.');
    const outputs = operation.infer(inputs, attributes).map(({ shape, type = 'f32' }, i) => {
      const label = i === 0 ? scope : `${scope}#${i}`;
      return new Tensor(this, shape, type, this.value(shape, type, 'activation', label));
    });
    const node: Node<A> = { operation, attributes, inputs: [...inputs], outputs, scope, prologue: null, epilogue: null };
    for (const tensor of outputs) tensor.producer = node as Node;
    this.nodes.push(node as Node);
    return outputs;
  }
}
