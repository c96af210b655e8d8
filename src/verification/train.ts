/**
 * Verifies a file of one training step: forward with the recorded noise, matching, losses, every parameter's gradient, and the
 * running statistics afterwards. The graph is the one that training runs.
 */
import { BackdropError } from '../errors.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { type HostArray, Program } from '../graph/program.ts';
import type { ModelConfig } from '../models/configs.ts';
import { buildModel, type DetectionTransformer } from '../models/rt-detr.ts';
import { CriterionHost } from '../training/criterion-host.ts';
import { attentionGroups, denoisingLayout, denoisingQueries } from '../training/denoising.ts';
import { MOMENTUM } from '../training/optimizer.ts';
import { mostTargets, type Targets } from '../training/targets.ts';
import { type TracedStep, traceStep } from '../training/trace.ts';
import { LOSSES } from '../training/trained-graph.ts';
import { recordedDraws } from './batches.ts';
import { compareModel, GATES, maxAbsError } from './compare.ts';
import { bytesToUnit, FormulaSource } from './formula.ts';
import { readReference, readTensor, type TrainingFile } from './golden.ts';
import { compareGradient, compareTotal, type GradientSum } from './gradient-limits.ts';
import { toNhwc } from './layout.ts';
import { smallModelConfig } from './model-config.ts';
import type { OpsContext } from './ops.ts';
import { type CaseReport, caseReport, type TensorReport } from './report.ts';

const FREEZE = { frozen: 'all', bbfrozen: 'backbone', bntrain: 'none' } as const;

/** The model of a training file, its batch norms as its mode says. */
export function trainingModel({ model, config, mode }: TrainingFile, sizes = config): DetectionTransformer {
  const base: ModelConfig = smallModelConfig(model, sizes);
  return buildModel({ ...base, freezeNorm: FREEZE[mode] });
}

export function formulaSource({ parameters }: DetectionTransformer, { seed, overrides }: TrainingFile): FormulaSource {
  const shapes = new Map([...parameters].map(([name, { shape }]) => [name, shape]));
  return new FormulaSource(shapes, seed, { overrides });
}

/** Four cases: outputs, losses with their matching, gradients, statistics. */
export async function verifyTrain(file: TrainingFile, context: OpsContext): Promise<CaseReport[]> {
  const model = trainingModel(file);
  const batch = await targetsOf(file);
  const most = mostTargets(batch);
  // Version 1 has no denoising queries in a batch without targets, and its class embedding then no gradient.
  const denoising = denoisingLayout(model.config, most).groups > 0;
  const traced = traceStep(model, { batch: batch.length, maxTargets: Math.max(1, most), denoising });
  const found = await run(file, model, traced, batch, context);
  const statistics = await compareStatistics(file, traced, found, formulaSource(model, file));
  return [
    caseReport('outputs', await compareOutputs(file, traced, found)),
    caseReport('losses', await compareLosses(file, found)),
    caseReport('gradients', await compareGradients(file, traced, found)),
    ...(statistics.length > 0 ? [caseReport('statistics', statistics)] : []),
  ];
}

async function targetsOf({ source }: TrainingFile): Promise<Targets[]> {
  const batch: Targets[] = [];
  for (let i = 0; source.tensors.has(`target.${i}.boxes`); i++) {
    batch.push({ boxes: await source.readFloat32(`target.${i}.boxes`), labels: await source.readFloat32(`target.${i}.labels`) });
  }
  if (batch.length === 0) throw new BackdropError('E_VERIFY', 'the file holds no targets');
  return batch;
}

interface Found {
  readonly results: ReadonlyMap<string, HostArray>;
  readonly terms: Readonly<Record<string, number>>;
  /** Queries that were matched, ascending, by set and image: `final.0`. */
  readonly matched: ReadonlyMap<string, readonly number[]>;
}

async function run(
  file: TrainingFile,
  model: DetectionTransformer,
  traced: TracedStep,
  batch: readonly Targets[],
  { gpu, kernels, variants = {} }: OpsContext,
): Promise<Found> {
  const { graph, sets, denoising } = traced;
  // Read back like any output, instead of being written into the optimizer's arenas.
  for (const [name, tensor] of graph.results) if (name !== LOSSES) graph.output(name, tensor);
  graph.results.clear();
  for (const { suffix, logits, boxes } of sets) {
    graph.output(`${outputName(suffix)}.pred_logits`, logits);
    graph.output(`${outputName(suffix)}.pred_boxes`, boxes);
  }
  const layout = denoisingLayout(denoising, mostTargets(batch));
  const shapes = sets.map((set) => ({ suffix: set.suffix, queries: set.boxes.rows, denoising: set.denoising === true }));
  const host = new CriterionHost(shapes, batch.length, traced.criterion);
  const { table, labels } = host.targets(batch, layout);
  const { shape, values } = await readTensor(file.source, 'image_u8');
  const inputs: Record<string, HostArray> = {
    image: toNhwc(bytesToUnit(values), shape),
    'targets.table': table,
    'targets.labels': labels,
    match: new Uint32Array(batch.length * host.rows),
  };
  if (denoising.denoising > 0) {
    const queries = denoisingQueries(batch, denoising, await draws(file), layout);
    inputs['denoising.classes'] = queries.classes;
    inputs['denoising.boxes'] = queries.boxes;
    inputs['denoising.groups'] = attentionGroups(denoising, layout, traced.queries);
  }
  const parameters = new ParameterStore(gpu, formulaSource(model, file));
  let program: Program | null = null;
  try {
    program = await Program.build(gpu, kernels, graph, parameters, { variants });
    const first = await program.run(inputs);
    const match = host.match(first.get('costs') as Float32Array, batch, layout);
    const results = await program.run({ match });
    const { terms } = host.losses(results.get(LOSSES) as Float32Array, layout);
    return { results, terms, matched: matchedQueries(match, shapes, batch.length, host.rows, traced.criterion.maxTargets) };
  } finally {
    program?.destroy();
    parameters.destroy();
  }
}

async function draws({ source }: TrainingFile) {
  const noise = async (name: string): Promise<Float32Array> =>
    source.tensors.has(`noise.${name}`) ? source.readFloat32(`noise.${name}`) : new Float32Array();
  const queries = source.tensors.get('noise.label_u')?.shape[1] ?? 0;
  const [labelUniform, newLabel] = [await noise('label_u'), await noise('new_label')];
  return recordedDraws({ labelUniform, newLabel, boxSign: await noise('box_sign'), boxUniform: await noise('box_u') }, queries);
}

/** '' to out, _aux_0 to aux_outputs.0, _dn_1 to dn_aux_outputs.1. */
function outputName(suffix: string): string {
  const [, kind, index] = /^_(aux|enc|dn)_(\d+)$/.exec(suffix) ?? [];
  if (kind === undefined) return 'out';
  return `${kind === 'aux' ? '' : `${kind}_`}aux_outputs.${index}`;
}

function matchedQueries(
  match: Uint32Array,
  sets: readonly { suffix: string; queries: number; denoising: boolean }[],
  images: number,
  rows: number,
  maxTargets: number,
): Map<string, number[]> {
  const found = new Map<string, number[]>();
  let start = 0;
  for (const { suffix, queries, denoising } of sets) {
    for (let image = 0; image < images && !denoising; image++) {
      const own = match.subarray(image * rows + start, image * rows + start + queries);
      const name = `${suffix === '' ? 'final' : suffix.slice(1)}.${image}`;
      found.set(
        name,
        [...own.keys()].filter((query) => own[query] < maxTargets),
      );
    }
    start += queries;
  }
  return found;
}

const recordedOf = (value: unknown): { maxAbs: number; relL2: number } | undefined => {
  const { max_abs: maxAbs, rel_l2: relL2 } = (value ?? {}) as Record<string, number>;
  return maxAbs === undefined || relL2 === undefined ? undefined : { maxAbs, relL2 };
};

/** Of every set; of a denoising set the queries that take part. */
async function compareOutputs({ source, info }: TrainingFile, { sets }: TracedStep, { results }: Found): Promise<TensorReport[]> {
  const reports: TensorReport[] = [];
  const errors = (info.out_err ?? {}) as Record<string, unknown>;
  for (const { suffix } of sets) {
    for (const kind of ['logits', 'boxes'] as const) {
      const name = `${outputName(suffix)}.pred_${kind}`;
      if (!source.tensors.has(name)) continue;
      const { shape, values, against } = await readReference(source, name);
      const all = results.get(name)!;
      const [images, queries, columns] = shape;
      const own = all.length / images;
      const ours = Float32Array.from(values, (_, i) => {
        const image = Math.floor(i / (queries * columns));
        return all[image * own + (i - image * queries * columns)];
      });
      reports.push(compareModel(name, 'max abs', ours, values, GATES.eval[kind], recordedOf(errors[name]), against));
    }
  }
  return reports;
}

async function compareLosses({ source, info, mode }: TrainingFile, { terms, matched }: Found): Promise<TensorReport[]> {
  const [exact, theirs] = [info.losses_f64, info.losses] as Record<string, number>[];
  const gate = mode === 'frozen' ? 1e-5 : 2e-4;
  const reports = Object.entries(exact).map(([name, value]): TensorReport => {
    const error = Math.abs((terms[name] ?? Number.POSITIVE_INFINITY) - value);
    const limit = gate * Math.abs(value) + 1e-7;
    return { name, metric: 'max abs', error, torch: Math.abs(theirs[name] - value), limit, ok: error <= limit, against: 'float64' };
  });
  const unknown = Object.keys(terms).filter((name) => !(name in exact));
  reports.push(counted('terms', unknown, 'terms PyTorch has not'));
  for (const [name, queries] of matched) {
    const src = [...(await source.readFloat32(`match.${name}.src`))].sort((a, b) => a - b);
    const error = maxAbsError(queries, src);
    reports.push({ name: `match.${name}`, metric: 'max abs', error, torch: null, limit: 0, ok: error === 0, against: 'float32' });
  }
  return reports;
}

/** A list that must be empty. */
function counted(name: string, list: readonly string[], what: string): TensorReport {
  const note = list.length > 0 ? `${what}: ${list.slice(0, 3).join(', ')}` : undefined;
  const report = { name, metric: 'max abs', error: list.length, torch: null, limit: 0, ok: list.length === 0, against: 'float64' } as const;
  return note === undefined ? report : { ...report, note };
}

async function compareGradients(
  { source, info, mode }: TrainingFile,
  { trained }: TracedStep,
  { results }: Found,
): Promise<TensorReport[]> {
  const recorded = info.grad_err as Record<string, { l2: number; rel_l2: number }>;
  const zero = new Set(info.zero_gradient_params as string[]);
  const total = info.grad_norm_f64 as number;
  const byName = new Map(trained.map((parameter) => [parameter.name, parameter]));
  const reports: TensorReport[] = [
    counted(
      'none_grads',
      [...byName.keys()].filter((name) => !(name in recorded)),
      'gradients where PyTorch has none',
    ),
  ];
  const sum: GradientSum = { error: 0, norm: 0 };
  for (const [name, error] of Object.entries(recorded)) {
    const parameter = byName.get(name);
    const ours = parameter?.toPyTorch(parameter.kernelKeys.map((key) => results.get(key)!)) ?? null;
    reports.push(await compareGradient(source, name, ours, error, total, mode, zero.has(name) ? null : sum));
  }
  reports.push(compareTotal(sum, mode, info.grad_total_rel_l2 as number));
  return reports;
}

/** A frozen batch norm keeps its statistics: what they were before is then what they are after. */
async function compareStatistics(
  { source }: TrainingFile,
  { statistics }: TracedStep,
  { results }: Found,
  before: FormulaSource,
): Promise<TensorReport[]> {
  const reports: TensorReport[] = [];
  const byName = new Map(statistics.map((update) => [update.name, update]));
  for (const tensor of source.tensors.keys()) {
    const name = /^buffer_after\/(.*running_(?:mean|var))$/.exec(tensor)?.[1];
    if (name === undefined) continue;
    const update = byName.get(name);
    const running = await before.readFloat32(name);
    const batch = update?.toPyTorch(update.kernelKeys.map((key) => results.get(key)!));
    const ours = batch ? running.map((value, i) => (1 - MOMENTUM) * value + MOMENTUM * batch[i]) : running;
    reports.push(compareModel(name, 'rel L2', ours, await source.readFloat32(tensor), GATES.eval.stage, undefined, 'float32'));
  }
  return reports;
}
