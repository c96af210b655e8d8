/** Golden cases of training's parts that are no operations of the graph: criterion, assignment, optimizer, clipping, average. */
import type { Gpu } from '../gpu/device.ts';
import { Graph, type Tensor } from '../graph/graph.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { type HostArray, Program } from '../graph/program.ts';
import { Context } from '../nn/context.ts';
import { ParameterTable, Scope } from '../nn/parameters.ts';
import { Training } from '../nn/training.ts';
import { gradients } from '../ops/gradient.ts';
import { ArenaLayout } from '../training/arena.ts';
import { assign } from '../training/assignment.ts';
import { type Classification, type CriterionOptions, criterion, joinOutputs, matchingCosts, targetInputs } from '../training/criterion.ts';
import { CriterionHost } from '../training/criterion-host.ts';
import { GraphStep, type GraphStepReport } from '../training/graph-step.ts';
import { Optimizer, type OptimizerOptions } from '../training/optimizer.ts';
import { type RegionLoss, regionLoss } from '../training/region-loss.ts';
import { averageDecay } from '../training/schedule.ts';
import { mostTargets, type Targets } from '../training/targets.ts';
import { classifierOf, regionTargets } from './cases/background.ts';
import { compareOperation, maxAbsError } from './compare.ts';
import { type OpsCase, readTensor } from './golden.ts';
import { toNhwc } from './layout.ts';
import type { OpsContext } from './ops.ts';
import type { TensorReport } from './report.ts';

/** A tensor of the case by what follows its name: `in/cost`. */
type Read = (path: string) => Promise<{ readonly shape: readonly number[]; readonly values: Float32Array }>;

interface CaseParts {
  readonly golden: OpsCase;
  readonly context: OpsContext;
  readonly read: Read;
  readonly compare: (path: string, ours: ArrayLike<number>) => Promise<TensorReport>;
}

type TrainingCase = (parts: CaseParts) => Promise<TensorReport[]>;

const cases: Readonly<Record<string, TrainingCase>> = {
  /** Of several optima any will do: then the costs of the pairs agree, if not the pairs. */
  async linear_sum_assignment({ read }) {
    const { shape, values } = await read('in/cost');
    const found = assign(values, shape[0], shape[1]);
    const [rows, columns] = [(await read('out/row')).values, (await read('out/col')).values];
    const same = maxAbsError(found.rows, rows) === 0 && maxAbsError(found.columns, columns) === 0;
    const best = rows.reduce((sum, row, i) => sum + values[row * shape[1] + columns[i]], 0);
    const error = rows.length === found.rows.length ? Math.abs(found.cost - best) : Number.POSITIVE_INFINITY;
    const note = same ? 'the same pairs' : 'another optimum';
    return [{ name: 'total', metric: 'max abs', error, torch: null, limit: 1e-9, ok: error <= 1e-9, against: 'float64', note }];
  },

  async criterion(parts) {
    const { golden, compare } = parts;
    const found = await runCriterion(parts);
    const [scale] = (await parts.read('gout/loss')).values;
    const reports = [await compare('out/loss', [found.loss])];
    for (const name of golden.grads) {
      reports.push(
        await compare(
          `grad/${name}`,
          Array.from(found.gradients.get(name)!, (g) => g * scale),
        ),
      );
    }
    return reports;
  },

  async adamw({ golden: { attrs }, context, read, compare }) {
    const {
      lr: rate,
      weight_decay: decay,
      betas,
      eps,
    } = attrs as { lr: number; weight_decay: number; betas: [number, number]; eps: number };
    const { shape, values: rows } = await read('in/grads');
    return withOptimizer(context, { p: shape[1] }, { betas, eps, average: false }, async (optimizer, update) => {
      optimizer.parameters.write('p', (await read('in/p')).values);
      const after: number[] = [];
      for (let step = 0; step < shape[0]; step++) {
        optimizer.gradients.write('p', rows.slice(step * shape[1], (step + 1) * shape[1]));
        optimizer.configure({ step: step + 1, groups: [{ rate, decay }] });
        update();
        after.push(...(await optimizer.parameters.read()).get('p')!);
      }
      const [first, second] = [await optimizer.firstMoments.read(), await optimizer.secondMoments.read()];
      return [
        await compare('out/p_after', after),
        await compare('out/exp_avg', first.get('p')!),
        await compare('out/exp_avg_sq', second.get('p')!),
      ];
    });
  },

  /** Pre-training of the Background Attention Module as a whole: its step, SGD, and a cosine that would end at the step behind. */
  async bam_pretrain_sgd({ golden: { attrs, inputs, outputs }, context: { gpu, kernels, variants = {} }, read, compare }) {
    const { mode, momentum, weight_decay: decay, steps, lr } = attrs as { mode: RegionLoss; lr: number[] } & Record<string, number>;
    const s1 = await read('in/s1');
    const [images, channels, height, width] = s1.shape;
    const [classes] = (await read('in/p:head.bias')).shape;
    const parameters = new ParameterTable();
    const graph = new Graph();
    const training = new Training(graph);
    const layer = classifierOf(attrs, channels, classes)(new Scope(parameters));
    const { logits } = layer.forward(new Context(graph, undefined, training), graph.input('s1', [images, height, width, channels]));
    const losses = regionLoss(logits, graph.input('target', [images, classes]), mode);
    const kindOf = (name: string) => (inputs.includes(`p:${name}`) ? 'p' : 'b');
    const source = { readFloat32: async (name: string) => (await read(`in/${kindOf(name)}:${name}`)).values };
    const step = await GraphStep.build(gpu, kernels, { graph, parameters, losses, statistics: training.statistics }, source, {
      ...{ rate: lr[0], decay, sgd: { momentum }, average: false, program: { variants } },
      schedule: { decay: 'cosine', totalSteps: steps + 1, finalFactor: 0 },
    });
    try {
      const batch = { s1: toNhwc(s1.values, s1.shape), target: regionTargets((await read('in/target')).values, mode, classes) };
      const reports: GraphStepReport[] = [];
      for (let k = 0; k < steps; k++) reports.push(await step.step(batch));
      const { parameters: after } = await step.save();
      const loss = await compare(
        'out/loss',
        reports.map((report) => report.loss),
      );
      const rates = maxAbsError(
        reports.map((report) => report.rates[0]),
        lr,
      );
      const arrays = outputs.filter((name) => /^[pb]_after:/.test(name));
      return [
        loss,
        { name: 'rates', metric: 'max abs', error: rates, torch: null, limit: 1e-12, ok: rates <= 1e-12, against: 'float64' },
        ...(await Promise.all(arrays.map((name) => compare(`out/${name}`, after[name.slice('p_after:'.length)])))),
      ];
    } finally {
      step.destroy();
    }
  },

  /** The factor is applied where AdamW reads the gradient; a first moment with beta 0 shows it. */
  async clip_grad_norm({ golden: { attrs, inputs }, context, read, compare }) {
    const given = new Map<string, Float32Array>();
    for (const name of inputs) given.set(name, (await read(`in/${name}`)).values);
    const sizes = Object.fromEntries([...given].map(([name, { length }]) => [name, length]));
    const options = { betas: [0, 0.999], maxNorm: attrs.max_norm as number, average: false } as const;
    return withOptimizer(context, sizes, options, async (optimizer, update) => {
      for (const [name, values] of given) optimizer.gradients.write(name, values.slice());
      optimizer.configure({ step: 1, groups: [{ rate: 0, decay: 0 }] });
      update();
      const clipped = await optimizer.firstMoments.read();
      return Promise.all(inputs.map((name) => compare(`out/${name}`, clipped.get(name)!)));
    });
  },

  /** The average follows parameters that are written from outside, since their rate is 0. */
  async ema({ golden: { attrs }, context, read, compare }) {
    const { shape, values: rows } = await read('in/seq');
    return withOptimizer(context, { p: shape[1] }, { average: true }, async (optimizer, update) => {
      optimizer.average!.write('p', (await read('in/p0')).values);
      const after: number[] = [];
      for (let step = 0; step < shape[0]; step++) {
        optimizer.parameters.write('p', rows.slice(step * shape[1], (step + 1) * shape[1]));
        optimizer.configure({ step: step + 1, groups: [{ rate: 0, decay: 0 }], decay: averageDecay(step + 1, attrs) });
        update();
        after.push(...(await optimizer.average!.read()).get('p')!);
      }
      return [await compare('out/ema', after)];
    });
  },
};

export const isTrainingCase = ({ op }: OpsCase): boolean => Object.hasOwn(cases, op);

/** Runs a case for which `isTrainingCase` holds. */
export function runTrainingCase(source: Parameters<typeof readTensor>[0], golden: OpsCase, context: OpsContext): Promise<TensorReport[]> {
  const read: Read = (path) => readTensor(source, `${golden.name}/${path}`);
  const compare = async (path: string, ours: ArrayLike<number>): Promise<TensorReport> => {
    const name = path.replace(/^out\//, '');
    return compareOperation(name, ours, (await read(path)).values, golden.recorded.get(name));
  };
  return cases[golden.op]({ golden, context, read, compare });
}

async function withOptimizer<T>(
  { gpu, kernels }: OpsContext,
  sizes: Readonly<Record<string, number>>,
  options: OptimizerOptions,
  body: (optimizer: Optimizer, update: () => void) => Promise<T>,
): Promise<T> {
  const tensors = Object.entries(sizes).map(([name, size]) => ({ name, size, kind: 'trained' as const, group: 0 }));
  const layout = new ArenaLayout(tensors, gpu.device.limits.maxStorageBufferBindingSize);
  const optimizer = await Optimizer.create(gpu, kernels, layout, options);
  try {
    return await body(optimizer, () => submit(gpu, optimizer));
  } finally {
    optimizer.destroy();
  }
}

function submit({ device }: Gpu, optimizer: Optimizer): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  optimizer.encode(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** Sets as in the file: `final`, `aux0`, `enc0`, `dn0`; denoising ones stand last. */
async function runCriterion({ golden: { attrs, inputs }, context: { gpu, kernels, variants = {} }, read }: CaseParts) {
  const names = inputs.filter((name) => name.endsWith('_logits')).map((name) => name.slice(0, -'_logits'.length));
  const batch: Targets[] = [];
  const [images] = (await read(`in/${inputs[0]}`)).shape;
  for (let i = 0; i < images; i++) {
    batch.push({ boxes: (await read(`target/${i}/boxes`)).values, labels: (await read(`target/${i}/labels`)).values });
  }
  const most = mostTargets(batch);
  const [classification] = attrs.losses as Classification[];
  const { alpha, gamma, num_classes: classes, dn_group: groups } = attrs as Record<string, number>;
  const options: CriterionOptions = { classification, classes, maxTargets: Math.max(1, most), alpha, gamma };
  const layout = { groups, targets: most, count: 2 * most * groups, empty: false };
  const graph = new Graph();
  const feeds: Record<string, HostArray> = {};
  const leaves = new Map<string, Tensor>();
  for (const name of names.flatMap((set) => [`${set}_logits`, `${set}_boxes`])) {
    const { shape, values } = await read(`in/${name}`);
    feeds[name] = values;
    leaves.set(name, graph.input(name, shape));
  }
  const sets = names.map((set) => ({
    suffix: set === 'final' ? '' : `_${set}`,
    denoising: set.startsWith('dn'),
    logits: leaves.get(`${set}_logits`)!,
    boxes: leaves.get(`${set}_boxes`)!,
  }));
  const shapes = sets.map(({ suffix, denoising, boxes }) => ({ suffix, denoising, queries: boxes.rows }));
  const host = new CriterionHost(shapes, images, options);
  const joined = joinOutputs(sets);
  const targets = targetInputs(graph, images, options);
  graph.output('costs', matchingCosts(joined, targets, options));
  const { terms, seeds } = criterion(joined, targets, graph.input('match', [images, host.rows, 1], 'u32'), options);
  graph.output('terms', terms);
  for (const [leaf, gradient] of gradients(graph, seeds, [...leaves.values()])) graph.output(`grad/${leaf.value.label}`, gradient);
  const { table, labels } = host.targets(batch, layout);
  const store = new ParameterStore(gpu, { readFloat32: () => Promise.reject(new Error('the criterion has no parameters')) });
  let program: Program | null = null;
  try {
    program = await Program.build(gpu, kernels, graph, store, { variants });
    const start = { 'targets.table': table, 'targets.labels': labels, match: new Uint32Array(images * host.rows) };
    const first = await program.run({ ...feeds, ...start });
    const results = await program.run({ match: host.match(first.get('costs') as Float32Array, batch, layout) });
    const { loss } = host.losses(results.get('terms') as Float32Array, layout);
    return { loss, gradients: new Map([...leaves.keys()].map((name) => [name, results.get(`grad/${name}`)!])) };
  } finally {
    program?.destroy();
    store.destroy();
  }
}
