/**
 * A Program: a graph lowered to kernels, planned, and recorded once. A run is one loop over pipelines and bind groups in one
 * compute pass; nothing is created, and only what was asked for is read back.
 */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { limitError } from '../gpu/device.ts';
import { type CompileProgress, type KernelCache, packParams } from '../gpu/kernels.ts';
import type { FuseOptions } from './fuse.ts';
import { type Graph, shapeError, show, type Tensor, type Value } from './graph.ts';
import { accessesOf, checkResults, lower, planActivations, resultMemory, targetOf } from './lower.ts';
import type { ParameterLocation, ParameterStore } from './parameters.ts';
import { ALIGNMENT, type MemoryPlan } from './plan.ts';

const USAGE = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80 } as const;

export interface ProgramOptions {
  fuse?: FuseOptions;
  /** False gives every tensor memory of its own. */
  reuseMemory?: boolean;
  /** Variants forced by operation name. */
  variants?: Readonly<Record<string, string>>;
  onProgress?: (progress: CompileProgress) => void;
  /** Where the graph's results are written. */
  results?: (name: string) => ParameterLocation;
  /** False where the caller copies and reads outputs by itself (`locate`): then `run` does not work. */
  readBack?: boolean;
}

export interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: readonly [number, number, number];
  readonly label: string;
  readonly kernel: string;
  readonly flops: number;
  /** Bytes of the tensors it binds. */
  readonly bytes: number;
}

export type HostArray = Float32Array | Uint32Array;

export interface ProgramStatistics {
  dispatches: number;
  pipelines: number;
  activationBytes: number;
  parameterBytes: number;
  flops: number;
}

const bytesOf = (value: Value): number => value.images * value.rows * value.columns * 4;
/** A binding seen as vec4f covers whole vectors. */
const boundBytes = (value: Value): number => Math.ceil(bytesOf(value) / 16) * 16;

interface Read {
  name: string;
  tensor: Tensor;
  buffer: GPUBuffer;
  from: number;
  to: number;
  bytes: number;
  ready: number;
}

/** Where an output lies while nothing has overwritten it. */
export interface OutputLocation extends ParameterLocation {
  /** Steps that must have run. */
  readonly ready: number;
}

export class Program {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly plan: MemoryPlan;
  readonly statistics: ProgramStatistics;
  readonly #gpu: Gpu;
  readonly #arenas: GPUBuffer[];
  readonly #inputs: ReadonlyMap<Value, GPUBuffer>;
  readonly #uniforms: GPUBuffer;
  readonly #staging: GPUBuffer | null;
  readonly #reads: readonly Read[];
  #busy: Promise<unknown> = Promise.resolve();
  #destroyed = false;

  private constructor(fields: {
    gpu: Gpu;
    graph: Graph;
    steps: Step[];
    plan: MemoryPlan;
    statistics: ProgramStatistics;
    arenas: GPUBuffer[];
    inputs: Map<Value, GPUBuffer>;
    uniforms: GPUBuffer;
    find: (value: Value) => { buffer: GPUBuffer; offset: number };
    written: ReadonlyMap<Value, number>;
    readBack: boolean;
  }) {
    const { gpu, graph } = fields;
    this.#gpu = gpu;
    this.graph = graph;
    this.steps = fields.steps;
    this.plan = fields.plan;
    this.statistics = fields.statistics;
    this.#arenas = fields.arenas;
    this.#inputs = fields.inputs;
    this.#uniforms = fields.uniforms;
    let at = 0;
    this.#reads = [...graph.outputs].map(([name, tensor]) => {
      const { root } = tensor.layout();
      const { buffer, offset } = fields.find(root);
      const ready = (fields.written.get(root) ?? -1) + 1;
      const read = { name, tensor, buffer, from: offset, to: at, bytes: bytesOf(root), ready };
      at += Math.ceil(bytesOf(root) / ALIGNMENT) * ALIGNMENT;
      return read;
    });
    this.#staging = at > 0 && fields.readBack ? gpu.createBuffer('outputs', at, USAGE.MAP_READ | USAGE.COPY_DST) : null;
  }

  /**
   * Builds the Program: lowers, plans, compiles (asynchronously) and uploads what parameters are missing.
   * @throws BackdropError E_GPU_LIMIT when a tensor or an arena is larger than the device allows, E_GPU_OOM
   */
  static async build(
    gpu: Gpu,
    kernels: KernelCache,
    graph: Graph,
    parameters: ParameterStore,
    options: ProgramOptions = {},
  ): Promise<Program> {
    const results = resultMemory(graph, options.results);
    const dispatches = lower(graph, targetOf(gpu, options.variants), options.fuse, results.places);
    const accesses = dispatches.map(accessesOf);
    checkResults(dispatches, accesses, results);
    const { limits } = gpu.device;
    const plan = planActivations(graph, accesses, results, { reuse: options.reuseMemory !== false, maxArena: limits.maxBufferSize });
    const bound = [...plan.placements, ...[...graph.inputs.values()].map(({ value }) => ({ value, bytes: boundBytes(value) }))];
    for (const { bytes, value } of bound) {
      if (bytes > limits.maxStorageBufferBindingSize) {
        throw limitError('maxStorageBufferBindingSize', bytes, limits.maxStorageBufferBindingSize, value.label);
      }
    }
    for (const bytes of plan.arenas) {
      if (bytes > limits.maxBufferSize) throw limitError('maxBufferSize', bytes, limits.maxBufferSize, 'The activation arena');
    }
    for (const { grid, label } of dispatches) {
      const most = Math.max(...grid);
      if (most > limits.maxComputeWorkgroupsPerDimension) {
        throw limitError('maxComputeWorkgroupsPerDimension', most, limits.maxComputeWorkgroupsPerDimension, label);
      }
    }
    await parameters.load(graph.parameters.size ? [...graph.parameters.values()].map((t) => t.parameter!) : []);
    const compiled = await kernels.prepare(dispatches, options.onProgress);

    gpu.device.pushErrorScope('out-of-memory');
    const usage = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;
    const arenas = plan.arenas.map((bytes, i) => gpu.createBuffer(`arena ${i}`, bytes, usage));
    const inputs = new Map([...graph.inputs].map(([name, t]) => [t.value, gpu.createBuffer(`input ${name}`, boundBytes(t.value), usage)]));
    const placed = new Map(plan.placements.map((p) => [p.value, { buffer: arenas[p.arena], offset: p.offset }]));
    const find = (value: Value): { buffer: GPUBuffer; offset: number } => {
      if (value.kind === 'parameter') return parameters.location(value.label);
      const input = inputs.get(value);
      const found = input ? { buffer: input, offset: 0 } : (results.locations.get(value) ?? placed.get(value));
      if (!found) throw new BackdropError('E_GPU_VALIDATION', `${value.label} is read, but nothing writes it.`);
      return found;
    };

    const slots = dispatches.map((d) => Math.ceil((d.shader.params?.size ?? 0) / ALIGNMENT) * ALIGNMENT);
    const uniformData = new ArrayBuffer(
      Math.max(
        ALIGNMENT,
        slots.reduce((a, b) => a + b, 0),
      ),
    );
    const view = new DataView(uniformData);
    const uniforms = gpu.createBuffer('uniforms', uniformData.byteLength, USAGE.UNIFORM | USAGE.COPY_DST);
    let slot = 0;
    const steps = dispatches.map((dispatch, i): Step => {
      const { shader } = dispatch;
      packParams(shader, dispatch.params, view, slot);
      const anyRead = shader.bindings.map(({ name, access }) => (access === 'read' ? dispatch.bind[name] : undefined)).find(Boolean);
      let bytes = 0;
      const entries: GPUBindGroupEntry[] = shader.bindings.map(({ name, binding }) => {
        const given = dispatch.bind[name];
        const tensor = given ?? anyRead;
        if (!tensor) throw new BackdropError('E_GPU_VALIDATION', `${dispatch.label}: binding ${name} of ${shader.name} was not given.`);
        const { root } = tensor.layout();
        if (given) bytes += tensor.size * 4;
        const { buffer, offset } = find(root);
        return { binding, resource: { buffer, offset, size: boundBytes(root) } };
      });
      if (shader.params)
        entries.push({ binding: shader.params.binding, resource: { buffer: uniforms, offset: slot, size: shader.params.size } });
      slot += slots[i];
      const { pipeline, layout } = compiled[i];
      gpu.counters.bindGroups += 1;
      const bindGroup = gpu.device.createBindGroup({ label: dispatch.label, layout, entries });
      return { pipeline, bindGroup, grid: dispatch.grid, label: dispatch.label, kernel: shader.name, flops: dispatch.flops ?? 0, bytes };
    });
    gpu.device.queue.writeBuffer(uniforms, 0, uniformData);
    const memory = await gpu.guard(gpu.device.popErrorScope());
    if (memory) {
      for (const buffer of [...arenas, ...inputs.values(), uniforms]) gpu.destroyBuffer(buffer);
      throw new BackdropError(
        'E_GPU_OOM',
        `The device has no room for ${plan.arenas.reduce((a, b) => a + b, 0)} bytes of activations: ${memory.message}`,
        {
          hint: 'Use a smaller input size, batch or model.',
        },
      );
    }
    const statistics: ProgramStatistics = {
      dispatches: steps.length,
      pipelines: new Set(steps.map((s) => s.pipeline)).size,
      activationBytes: plan.arenas.reduce((a, b) => a + b, 0),
      parameterBytes: [...graph.parameters.values()].reduce((sum, t) => sum + t.size * 4, 0),
      flops: steps.reduce((sum, s) => sum + s.flops, 0),
    };
    const written = new Map(accesses.flatMap(({ writes }, i) => writes.map((value): [Value, number] => [value, i])));
    const readBack = options.readBack !== false;
    return new Program({ gpu, graph, steps, plan, statistics, arenas, inputs, uniforms, find, written, readBack });
  }

  /** Copies an input to the GPU; it stays until written again. */
  write(name: string, data: HostArray): void {
    const tensor = this.graph.inputs.get(name);
    if (!tensor) throw new BackdropError('E_INPUT', `There is no input ${name}; inputs are ${[...this.graph.inputs.keys()].join(', ')}.`);
    if (data.length !== tensor.size)
      throw shapeError('input', `${name} has ${data.length} elements, ${show(tensor.shape)} needs ${tensor.size}`);
    this.#gpu.device.queue.writeBuffer(this.#inputs.get(tensor.value)!, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }

  /** Where an output lies. @throws BackdropError E_INPUT */
  locate(output: string): OutputLocation {
    const read = this.#reads.find(({ name }) => name === output);
    if (!read) throw new BackdropError('E_INPUT', `There is no output ${output}.`);
    const { offset } = read.tensor.layout();
    return { buffer: read.buffer, offset: read.from + offset * 4, bytes: read.tensor.size * 4, ready: read.ready };
  }

  /** The replay: records steps [from, to), or all, into a compute pass. The only code that runs per dispatch. */
  encode(pass: GPUComputePassEncoder, from = 0, to = this.steps.length): void {
    let current: GPUComputePipeline | null = null;
    for (let i = from; i < to; i++) {
      const { pipeline, bindGroup, grid } = this.steps[i];
      if (pipeline !== current) {
        pass.setPipeline(pipeline);
        current = pipeline;
      }
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
    }
  }

  /** Runs on the inputs last written, without waiting and without reading anything back. */
  submit(): void {
    const encoder = this.#record();
    this.#gpu.counters.submits += 1;
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** As `submit`, and then copies an output to an input of another Program: the numbers stay on the GPU. */
  submitInto(output: string, target: Program, input: string): void {
    const read = this.#reads.find(({ name }) => name === output);
    const tensor = target.graph.inputs.get(input);
    if (!read || tensor?.size !== read.tensor.size || tensor.size * 4 !== read.bytes) {
      throw shapeError(
        'submitInto',
        `output ${output} ${show(read?.tensor.shape ?? [])} does not fill input ${input} ${show(tensor?.shape ?? [])}`,
      );
    }
    const encoder = this.#record();
    encoder.copyBufferToBuffer(read.buffer, read.from, target.#inputs.get(tensor.value)!, 0, read.bytes);
    this.#gpu.counters.submits += 1;
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  #record(): GPUCommandEncoder {
    this.#live();
    const encoder = this.#gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.encode(pass);
    pass.end();
    return encoder;
  }

  /** Writes the inputs, runs, and reads all outputs back in one mapping. Calls queue up behind each other. */
  run(inputs: Readonly<Record<string, HostArray>>): Promise<Map<string, HostArray>> {
    const result = this.#busy.then(() => this.#run(inputs));
    this.#busy = result.catch(() => {});
    return result;
  }

  async #run(inputs: Readonly<Record<string, HostArray>>): Promise<Map<string, HostArray>> {
    this.#live();
    for (const [name, data] of Object.entries(inputs)) this.write(name, data);
    const encoder = this.#record();
    const staging = this.#staging;
    for (const read of this.#reads) encoder.copyBufferToBuffer(read.buffer, read.from, staging!, read.to, read.bytes);
    this.#gpu.counters.submits += 1;
    this.#gpu.device.queue.submit([encoder.finish()]);
    const results = new Map<string, HostArray>();
    if (!staging) {
      await this.#gpu.guard(this.#gpu.device.queue.onSubmittedWorkDone());
      return results;
    }
    this.#gpu.counters.readbacks += 1;
    await this.#gpu.guard(staging.mapAsync(1 /* GPUMapMode.READ */));
    const mapped = staging.getMappedRange();
    for (const { name, tensor, to, bytes } of this.#reads) results.set(name, gather(tensor, mapped, to, bytes));
    staging.unmap();
    return results;
  }

  #live(): void {
    if (this.#destroyed) throw new BackdropError('E_INPUT', 'This Program was destroyed.');
    this.#gpu.check();
  }

  /** Frees every buffer of the Program (parameters belong to the store). A second call does nothing. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const buffer of [...this.#arenas, ...this.#inputs.values(), this.#uniforms]) this.#gpu.destroyBuffer(buffer);
    if (this.#staging) this.#gpu.destroyBuffer(this.#staging);
  }
}

/** The tensor's own elements, dense, out of the bytes of its root value. */
function gather(tensor: Tensor, mapped: ArrayBuffer, at: number, bytes: number): HostArray {
  const all = tensor.type === 'f32' ? new Float32Array(mapped, at, bytes / 4) : new Uint32Array(mapped, at, bytes / 4);
  const { offset, batch, pitch } = tensor.layout();
  const { images, rows, columns } = tensor;
  const out = tensor.type === 'f32' ? new Float32Array(tensor.size) : new Uint32Array(tensor.size);
  let to = 0;
  for (let n = 0; n < images; n++) {
    for (let r = 0; r < rows; r++, to += columns) {
      const from = offset + n * batch + r * pitch;
      out.set(all.subarray(from, from + columns), to);
    }
  }
  return out;
}
