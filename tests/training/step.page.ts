/** Page side of the training step's tests: small models with formula weights, trained for a few steps. */
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { targetOf } from '../../src/graph/lower.ts';
import { register } from '../../src/host/page-registry.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import type { DenoisingDraws } from '../../src/training/denoising.ts';
import { planStep } from '../../src/training/memory.ts';
import type { TrainingState } from '../../src/training/state.ts';
import { type StepReport, type TrainingBatch, type TrainingConfig, TrainingStep } from '../../src/training/step.ts';
import type { Targets } from '../../src/training/targets.ts';
import { bytesToUnit, FormulaSource, formulaImage, type SeedOverrides } from '../../src/verification/formula.ts';

/** [images, queries], boxes with four numbers a query. */
export interface Noise {
  queries: number;
  labelUniform: Float32Array;
  newLabel: Float32Array;
  boxSign: Float32Array;
  boxUniform: Float32Array;
}

export interface StepCase {
  model: ModelConfig;
  training: Omit<TrainingConfig, 'batch' | 'maxTargets'> & { batch?: number; maxTargets?: number };
  seed: string;
  overrides?: SeedOverrides;
  /** Keys of the formula's images, one each of the whole step. */
  images: string[];
  targets: Targets[];
  noise?: Noise;
  steps: number;
  /** Steps that are tried before the first; errors say step -1. */
  refused?: TrainingBatch[][];
  from?: TrainingState;
  /** Before this step (counted from 0 in this call) parameters get a value, or the image numbers that are not finite. */
  spoil?: { step: number; parameters?: { key: string; value: number }[]; image?: boolean };
}

export interface StepAnswer {
  reports: StepReport[];
  errors: { step: number; code: string; message: string; details: Record<string, unknown> }[];
  state: TrainingState;
  notes: string[];
  statistics: { dispatches: number; pipelines: number; activationBytes: number };
  /** Of the step's buffers, and what planning without a device says. */
  bytes: { held: number; planned: number };
  /** What the steps after the first created and read back. */
  created: number;
  readbacks: number;
}

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

function recorded({ queries, ...noise }: Noise): DenoisingDraws {
  const at = (image: number, query: number) => image * queries + query;
  return {
    labelUniform: (image, query) => noise.labelUniform[at(image, query)],
    newLabel: (image, query) => noise.newLabel[at(image, query)],
    boxSign: (image, query, side) => noise.boxSign[4 * at(image, query) + side],
    boxUniform: (image, query, side) => noise.boxUniform[4 * at(image, query) + side],
  };
}

/** [3, pixels] to [pixels, 3]. */
const channelsLast = (planes: Float32Array, pixels: number): Float32Array =>
  planes.map((_, i) => planes[(i % 3) * pixels + Math.floor(i / 3)]);

register<StepCase>('training step', async (given): Promise<StepAnswer> => {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  const { gpu, kernels } = shared;
  const model = buildModel(given.model);
  const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
  const source = new FormulaSource(shapes, given.seed, { overrides: given.overrides ?? [] });
  const batch = given.training.batch ?? given.images.length;
  const config = { maxTargets: 8, ...given.training, batch };
  const others = gpu.counters.bufferBytes;
  const step = await TrainingStep.build(gpu, kernels, model, source, config);
  const held = gpu.counters.bufferBytes - others;
  try {
    if (given.from) step.load(given.from);
    const [height, width] = given.model.size;
    const pixels = given.images.map((key) => channelsLast(bytesToUnit(formulaImage(key, height, width)), height * width));
    const size = height * width * 3;
    const batches = Array.from({ length: given.images.length / batch }, (_, part) => {
      const image = new Float32Array(batch * size);
      for (let i = 0; i < batch; i++) image.set(pixels[part * batch + i], i * size);
      return { image, targets: given.targets.slice(part * batch, (part + 1) * batch) };
    });
    const answer = { reports: [] as StepReport[], errors: [] as StepAnswer['errors'] };
    const objects = () => gpu.counters.buffers + gpu.counters.bindGroups + gpu.counters.pipelines;
    const before = { objects: objects(), readbacks: gpu.counters.readbacks };
    const attempt = async (number: number, body: () => Promise<StepReport | null>) => {
      try {
        const report = await body();
        if (report) answer.reports.push(report);
      } catch (error) {
        const { code, message, details } = error as StepAnswer['errors'][number];
        answer.errors.push({ step: number, code, message, details });
      }
    };
    for (const batches of given.refused ?? []) await attempt(-1, () => step.step(batches));
    for (let k = 0; k < given.steps; k++) {
      const spoilt = given.spoil?.step === k ? given.spoil : null;
      const used = spoilt?.image ? batches.map((part) => ({ ...part, image: part.image.map(() => Number.NaN) })) : batches;
      for (const { key, value } of spoilt?.parameters ?? []) {
        const { bytes } = step.optimizer.parameters.location(key);
        step.optimizer.parameters.write(key, new Float32Array(bytes / 4).fill(value));
      }
      await attempt(k, () => step.step(used, given.noise ? { draws: recorded(given.noise) } : {}));
    }
    const after = { objects: objects(), readbacks: gpu.counters.readbacks };
    await attempt(given.steps, () => step.finish());
    const { pipelines, activationBytes } = step.program.statistics;
    return {
      ...answer,
      state: await step.save(),
      notes: [...step.notes],
      statistics: { dispatches: step.dispatches, pipelines, activationBytes },
      bytes: { held, planned: planStep(model, config, targetOf(gpu), gpu.device.limits).memory.total },
      created: after.objects - before.objects,
      readbacks: after.readbacks - before.readbacks,
    };
  } finally {
    step.destroy();
  }
});
