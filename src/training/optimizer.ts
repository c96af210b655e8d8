/**
 * The optimizer: global-norm clipping, AdamW (or SGD) and the moving average over arenas, in three launches a segment. The order of a
 * step: the gradients are in place (or summed by `accumulate`), then `encode`. A number that is not finite anywhere in the
 * parameters, gradients, statistics or watched tensors leaves every parameter, moment, average and statistic as it was.
 */
import accumulateShader from '../../shaders/optimizer/accumulate.wgsl';
import adamwShader from '../../shaders/optimizer/adamw.wgsl';
import clipShader from '../../shaders/optimizer/clip.wgsl';
import normShader from '../../shaders/optimizer/norm.wgsl';
import sgdShader from '../../shaders/optimizer/sgd.wgsl';
import type { Gpu } from '../gpu/device.ts';
import { type Kernel, type KernelCache, packParams } from '../gpu/kernels.ts';
import type { Shader } from '../gpu/shader.ts';
import { fold } from '../ops/common.ts';
import { Arena, type ArenaLayout } from './arena.ts';

export interface OptimizerOptions {
  /** Gradient descent with momentum in AdamW's place. Its buffer is the first moment; decay is part of the gradient. */
  sgd?: { momentum: number } | null;
  /** [0.9, 0.999] when left out. */
  betas?: readonly [number, number];
  /** 1e-8 when left out. */
  eps?: number;
  /** The largest norm of the whole gradient; 0 or left out: not clipped. */
  maxNorm?: number;
  /** Keep a moving average of the parameters. True when left out. */
  average?: boolean;
  /** Keep a sum of gradients, for steps in several parts. */
  accumulation?: boolean;
  /** Share of the batch in the batch norms' running statistics; `MOMENTUM` when left out. */
  momentum?: number;
}

/** Share of the batch in running statistics: torch's default, which RT-DETR's and DETR's models keep. */
export const MOMENTUM = 0.1;

/** What changes from step to step. */
export interface StepSettings {
  /** AdamW's t, from 1: steps taken with this one (skipped ones do not count). */
  step: number;
  /** Learning rate and weight decay of each group. */
  groups: readonly { rate: number; decay: number }[];
  /** The moving average's decay in this step (`averageDecay`). */
  decay?: number;
}

export interface StepStatus {
  /** Euclidean norm of the gradient over all trained tensors, before clipping. */
  norm: number;
  /** What it was multiplied with. */
  factor: number;
  nonFinite: NonFinite | null;
}

/** The first number that is not finite: of a parameter, else of a gradient, else only the sum of squares has overflowed. */
export type NonFinite = { in: 'parameter' | 'gradient'; tensor: string; index: number } | { in: 'norm' };

/** Elements of a chunk in optimizer/norm.wgsl. */
const CHUNK = 64 * 32 * 4;
const GROUPS_AT = 256;
const KINDS = { trained: 0, statistics: 1, watched: 2 } as const;

interface Launch {
  kernel: Kernel;
  bindings: GPUBindGroup;
  grid: readonly [number, number];
}

export class Optimizer {
  readonly layout: ArenaLayout;
  readonly parameters: Arena;
  /** Of the step, or of one of its parts. */
  readonly gradients: Arena;
  readonly firstMoments: Arena;
  readonly secondMoments: Arena;
  readonly average: Arena | null;
  /** 16 bytes that `status` understands; for copying behind other results. */
  readonly statusBuffer: GPUBuffer;
  readonly #gpu: Gpu;
  readonly #options: Required<OptimizerOptions>;
  readonly #total: Arena | null;
  readonly #owned: GPUBuffer[];
  readonly #settings: GPUBuffer;
  readonly #settingsData: DataView<ArrayBuffer>;
  readonly #step: Launch[] = [];
  readonly #firstPart: Launch[] = [];
  readonly #nextPart: Launch[] = [];

  private constructor(gpu: Gpu, layout: ArenaLayout, options: Required<OptimizerOptions>) {
    this.#gpu = gpu;
    this.layout = layout;
    this.#options = options;
    const arena = (label: string) => new Arena(gpu, layout, label);
    this.parameters = arena('parameters');
    this.gradients = arena('gradients');
    this.firstMoments = arena('first moments');
    this.secondMoments = arena('second moments');
    this.average = options.average ? arena('average') : null;
    this.#total = options.accumulation ? arena('summed gradients') : null;
    this.#settingsData = new DataView(new ArrayBuffer(GROUPS_AT + 16 * layout.spans.length));
    this.#settings = gpu.createBuffer('optimizer settings', this.#settingsData.byteLength, 0x80 | 0x8);
    this.statusBuffer = gpu.createBuffer('optimizer status', 16, 0x80 | 0x4);
    this.#owned = [this.#settings, this.statusBuffer];
  }

  /** Allocates the arenas and compiles the kernels. @throws BackdropError E_GPU_LIMIT */
  static async create(gpu: Gpu, kernels: KernelCache, layout: ArenaLayout, options: OptimizerOptions = {}): Promise<Optimizer> {
    const all = {
      sgd: null,
      betas: [0.9, 0.999],
      eps: 1e-8,
      maxNorm: 0,
      average: true,
      accumulation: false,
      momentum: MOMENTUM,
      ...options,
    } as const;
    const optimizer = new Optimizer(gpu, layout, all);
    await optimizer.#build(kernels);
    return optimizer;
  }

  async #build(kernels: KernelCache): Promise<void> {
    const { layout } = this;
    const { momentum } = this.#options;
    const counts = layout.segments.map((size) => Math.ceil(size / CHUNK));
    const chunks = counts.reduce((a, b) => a + b, 0);
    const sums = this.#buffer('chunk sums', chunks * 4);
    const bad = this.#buffer('chunk checks', chunks * 4);
    const placeholder = this.#buffer('no average', 256);
    const groups = { buffer: this.#settings, offset: GROUPS_AT };
    const gradients = this.stepGradients;
    const bases = layout.segments.map((_, i) => layout.segments.slice(0, i).reduce((a, b) => a + b, 0));
    const norm = await kernels.get({ shader: normShader as Shader });
    const clip = await kernels.get({ shader: clipShader as Shader });
    const { sgd } = this.#options;
    const updateShader = (sgd ? sgdShader : adamwShader) as Shader;
    const update = await kernels.get({ shader: updateShader, consts: { AVERAGE: this.average ? 1 : 0 } });
    const each = (make: (segment: number, base: number, length: number) => Launch) =>
      layout.segments.map((length, segment) => make(segment, bases[segment], length));
    const at = (arena: Arena, segment: number) => ({ buffer: arena.buffers[segment] });
    const quads = (length: number) => fold(Math.ceil(length / 256));

    this.#step.push(
      ...each((segment, base, length) => {
        const first = counts.slice(0, segment).reduce((a, b) => a + b, 0);
        const bind = {
          g: at(gradients, segment),
          p: at(this.parameters, segment),
          groups,
          sums: { buffer: sums },
          bad: { buffer: bad },
        };
        return this.#launch(norm, normShader as Shader, bind, { base, length, first }, fold(counts[segment]));
      }),
      this.#launch(
        clip,
        clipShader as Shader,
        { sums: { buffer: sums }, bad: { buffer: bad }, status: { buffer: this.statusBuffer } },
        { chunks, max_norm: this.#options.maxNorm },
        [1, 1],
      ),
      ...each((segment, base, length) => {
        const bind = {
          settings: { buffer: this.#settings, size: 32 },
          groups,
          status: { buffer: this.statusBuffer },
          g: at(gradients, segment),
          p: at(this.parameters, segment),
          m: at(this.firstMoments, segment),
          v: at(this.secondMoments, segment),
          average: this.average ? at(this.average, segment) : { buffer: placeholder },
        };
        // Accumulated statistics have been moved already.
        const moving = this.#total ? { keep: 0, share: 1 } : { keep: 1 - momentum, share: momentum };
        return this.#launch(update, updateShader, bind, { base, length, ...moving }, quads(length));
      }),
    );
    if (!this.#total) return;
    for (const [list, FIRST] of [
      [this.#firstPart, 1],
      [this.#nextPart, 0],
    ] as const) {
      const kernel = await kernels.get({ shader: accumulateShader as Shader, consts: { FIRST } });
      list.push(
        ...each((segment, base, length) => {
          const bind = {
            g: at(this.gradients, segment),
            p: at(this.parameters, segment),
            groups,
            total: at(this.#total!, segment),
          };
          return this.#launch(
            kernel,
            accumulateShader as Shader,
            bind,
            { base, length, keep: 1 - momentum, share: momentum },
            quads(length),
          );
        }),
      );
    }
  }

  #buffer(label: string, bytes: number): GPUBuffer {
    const buffer = this.#gpu.createBuffer(label, bytes, 0x80);
    this.#owned.push(buffer);
    return buffer;
  }

  #launch(
    kernel: Kernel,
    shader: Shader,
    bind: Readonly<Record<string, GPUBufferBinding>>,
    params: Readonly<Record<string, number>>,
    grid: readonly [number, number],
  ): Launch {
    const { device, counters } = this.#gpu;
    const data = new ArrayBuffer(shader.params!.size);
    packParams(shader, params, new DataView(data), 0);
    const uniform = this.#gpu.createBuffer(`${shader.name} params`, data.byteLength, 0x40 | 0x8);
    this.#owned.push(uniform);
    device.queue.writeBuffer(uniform, 0, data);
    counters.bindGroups += 1;
    const entries = shader.bindings.map(({ name, binding }) => ({ binding, resource: bind[name] }));
    entries.push({ binding: shader.params!.binding, resource: { buffer: uniform } });
    return { kernel, bindings: device.createBindGroup({ label: shader.name, layout: kernel.layout, entries }), grid };
  }

  /** Writes what the next `encode` shall use. Bias corrections and 1 - beta are worked out in float64. */
  configure({ step, groups, decay = 0 }: StepSettings): void {
    const { sgd, eps } = this.#options;
    const [beta1, beta2] = this.#options.betas;
    const view = this.#settingsData;
    const adamw = [beta1, 1 - beta1, beta2, 1 - beta2, Math.sqrt(1 - beta2 ** step), eps];
    [...(sgd ? [sgd.momentum, 0, 0, 0, 0, 0] : adamw), decay, 1 - decay].forEach((value, i) => {
      view.setFloat32(4 * i, value, true);
    });
    this.layout.spans.forEach(({ kind, group, end }, i) => {
      const { rate, decay: shrinks } = kind === 'trained' ? groups[group] : { rate: 0, decay: 0 };
      const at = GROUPS_AT + 16 * i;
      view.setUint32(at, end, true);
      view.setFloat32(at + 4, sgd ? shrinks : 1 - rate * shrinks, true);
      view.setFloat32(at + 8, sgd ? rate : rate / (1 - beta1 ** step), true);
      view.setUint32(at + 12, KINDS[kind], true);
    });
    this.#gpu.device.queue.writeBuffer(this.#settings, 0, view.buffer);
  }

  /** Adds the gradients of a step's part to their sum, which the first part begins. `configure` must have been called. */
  accumulate(pass: GPUComputePassEncoder, first: boolean): void {
    record(pass, first ? this.#firstPart : this.#nextPart);
  }

  /** Clips, checks, and changes parameters, moments and average. */
  encode(pass: GPUComputePassEncoder): void {
    record(pass, this.#step);
  }

  /** Of the whole step: the sum where it has several parts. */
  get stepGradients(): Arena {
    return this.#total ?? this.gradients;
  }

  get dispatches(): number {
    return this.#step.length;
  }

  /** What the 16 bytes of `statusBuffer` say. */
  status(words: Uint32Array): StepStatus {
    const numbers = new Float32Array(words.buffer, words.byteOffset, 2);
    return { norm: numbers[0], factor: numbers[1], nonFinite: this.#nonFinite(words[2]) };
  }

  #nonFinite(bad: number): NonFinite | null {
    if (bad === 0xffffffff) return null;
    if (bad === 0xfffffffe) return { in: 'norm' };
    const { name, index } = this.layout.tensorAt(bad % 2 ** 31);
    return { in: bad < 2 ** 31 ? 'parameter' : 'gradient', tensor: name, index };
  }

  destroy(): void {
    for (const arena of [this.parameters, this.gradients, this.firstMoments, this.secondMoments, this.average, this.#total])
      arena?.destroy();
    for (const buffer of this.#owned.splice(0)) this.#gpu.destroyBuffer(buffer);
  }
}

function record(pass: GPUComputePassEncoder, launches: readonly Launch[]): void {
  for (const { kernel, bindings, grid } of launches) {
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(grid[0], grid[1]);
  }
}
