/**
 * Verifies a file of a whole model: formula weights, formula image or photograph, then two runs, once with every recorded
 * stage made an output and once in the form that detection uses, in which nothing stands between the fused kernels.
 */
import { BackdropError } from '../errors.ts';
import { Graph, type Tensor } from '../graph/graph.ts';
import { type ParameterSource, ParameterStore } from '../graph/parameters.ts';
import { type HostArray, Program } from '../graph/program.ts';
import type { ModelConfig } from '../models/configs.ts';
import { modelConfig } from '../models/resolve.ts';
import { buildModel, type DetectionTransformer } from '../models/rt-detr.ts';
import { compareModel, compareSelection, GATES, matchQueries, type QueryMatch, reorderQueries } from './compare.ts';
import { bytesToUnit, FormulaSource, formulaImage, samplePositions } from './formula.ts';
import { type ModelFile, readReference, readTensor, type Stage } from './golden.ts';
import { elementOf, toNhwc } from './layout.ts';
import { smallModelConfig } from './model-config.ts';
import type { OpsContext } from './ops.ts';
import { type CaseReport, caseReport, type TensorReport } from './report.ts';

/** A decoded picture: RGB bytes, row by row. */
export interface Picture {
  width: number;
  height: number;
  rgb: Uint8Array;
}

export interface ModelContext extends OpsContext {
  /** The photograph beside the golden file. */
  readonly photo?: () => Promise<Picture>;
  /** Weights to use in place of the formula's, for the model that a file describes. */
  readonly weights?: (model: ModelConfig) => Promise<ParameterSource>;
}

/** Stages are read back in as many runs as keep the copy below this. */
const READ_BUDGET = 512 * 2 ** 20;

type Results = ReadonlyMap<string, { values: HostArray; shape: readonly number[] }>;

/** The model a file describes. @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG, E_VERIFY */
export function modelOf(file: ModelFile): ModelConfig {
  if (file.config) return smallModelConfig(file.model, file.config);
  const [, , height, width] = file.inputShape;
  return modelConfig(file.model, { size: [height, width], ...(file.classes === null ? {} : { classes: file.classes }) });
}

/** Both runs, as two cases. */
export async function verifyModel(file: ModelFile, context: ModelContext, signal?: AbortSignal): Promise<CaseReport[]> {
  const model = buildModel(modelOf(file));
  const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
  const formula = new FormulaSource(shapes, file.seed, { overrides: file.overrides });
  const parameters = new ParameterStore(context.gpu, (await context.weights?.(model.config)) ?? formula);
  try {
    const image = await inputOf(file, context);
    const tapped: TensorReport[] = [];
    for (const stages of groups(file.stages, Math.min(READ_BUDGET, context.gpu.device.limits.maxBufferSize / 2))) {
      signal?.throwIfAborted();
      const results = await run(model, file, image, stages, parameters, context);
      tapped.push(...(await compareRun(file, results, stages, tapped.length === 0)));
    }
    signal?.throwIfAborted();
    const plain = await compareRun(file, await run(model, file, image, [], parameters, context), [], true);
    return [caseReport('stages', tapped), caseReport('deployed', plain)];
  } finally {
    parameters.destroy();
  }
}

async function inputOf({ images, inputShape }: ModelFile, { photo }: ModelContext): Promise<Float32Array> {
  const [n, , height, width] = inputShape;
  if (images === 'photo') {
    if (!photo) throw new BackdropError('E_FILE_MISSING', 'the photograph this file was computed from is not there');
    const picture = await photo();
    if (picture.width !== width || picture.height !== height) {
      throw new BackdropError('E_IMAGE', `the photograph is ${picture.width}x${picture.height}, the file asks for ${width}x${height}`);
    }
    return bytesToUnit(picture.rgb);
  }
  const planes = new Uint8Array(n * 3 * height * width);
  images.forEach((key, i) => {
    planes.set(formulaImage(key, height, width), i * 3 * height * width);
  });
  return toNhwc(bytesToUnit(planes), [n, 3, height, width]);
}

function groups(stages: readonly Stage[], budget: number): Stage[][] {
  const out: Stage[][] = [[]];
  let bytes = 0;
  for (const stage of stages) {
    const own = 4 * stage.shape.reduce((a, b) => a * b, 1);
    if (bytes + own > budget && bytes > 0) {
      out.push([]);
      bytes = 0;
    }
    out[out.length - 1].push(stage);
    bytes += own;
  }
  return out;
}

async function run(
  model: DetectionTransformer,
  { inputShape: [n, , height, width] }: ModelFile,
  image: Float32Array,
  stages: readonly Stage[],
  parameters: ParameterStore,
  { gpu, kernels, variants = {} }: ModelContext,
): Promise<Results> {
  const graph = new Graph();
  const wanted = new Set(stages.map(({ name }) => name));
  const outputs = model.trace(graph, graph.input('image', [n, height, width, 3]), { taps: (stage) => wanted.has(stage) });
  const named: Record<string, Tensor> = {
    pred_logits: outputs.logits,
    pred_boxes: outputs.boxes,
    topk_idx: outputs.topkIndices,
    topk_logit_max: outputs.topkScores,
    enc_max_logit: outputs.tokenScores,
  };
  for (const [name, tensor] of Object.entries(named)) graph.output(name, tensor);
  const program = await Program.build(gpu, kernels, graph, parameters, { variants });
  try {
    const values = await program.run({ image });
    return new Map([...values].map(([name, array]) => [name, { values: array, shape: graph.outputs.get(name)!.shape }]));
  } finally {
    program.destroy();
  }
}

async function compareRun(file: ModelFile, results: Results, stages: readonly Stage[], withOutputs: boolean): Promise<TensorReport[]> {
  const matches = await matchSelection(file, results);
  const reports: TensorReport[] = [];
  if (withOutputs) {
    reports.push(...matches.map((match, i) => compareSelection(matches.length > 1 ? `topk_idx[${i}]` : 'topk_idx', match)));
    reports.push(...(await compareOutputs(file, results, matches)));
  }
  for (const stage of stages) reports.push(await compareStage(file, stage, results, matches));
  return reports;
}

/** One match an image. Scores are the file's own where it has them; small files do not, and ours stand in. */
async function matchSelection({ source }: ModelFile, results: Results): Promise<QueryMatch[]> {
  const { shape, values } = await readTensor(source, 'topk_idx');
  const [images, queries] = shape.length === 2 ? shape : [1, shape[0]];
  const ours = results.get('topk_idx')!.values;
  const known = ['enc_max_logit.f64', 'enc_max_logit'].find((name) => source.tensors.has(name));
  const scores = known ? await source.readFloat32(known) : results.get('enc_max_logit')!.values;
  const tokens = scores.length / images;
  return Array.from({ length: images }, (_, i) => {
    const rows = (all: ArrayLike<number>) => Array.prototype.slice.call(all, i * queries, (i + 1) * queries) as number[];
    return matchQueries(rows(ours), rows(values), (token) => scores[i * tokens + token]);
  });
}

/** Outputs with a query dimension, and whether logits' or boxes' gate applies. */
const OUTPUTS: Record<string, 'logits' | 'boxes'> = {
  pred_logits: 'logits',
  pred_boxes: 'boxes',
  'pred_logits.deploy': 'logits',
  'pred_boxes.deploy': 'boxes',
  topk_logit_max: 'logits',
};

async function compareOutputs(file: ModelFile, results: Results, matches: readonly QueryMatch[]): Promise<TensorReport[]> {
  const { source, recorded, kind } = file;
  const reports: TensorReport[] = [];
  const has = (name: string) => source.tensors.has(name) || source.tensors.has(`${name}.f64`);
  for (const [name, gate] of Object.entries(OUTPUTS)) {
    if (!has(name)) continue;
    const plain = name.replace(/\.deploy$/, '');
    const { values, against } = await readReference(source, name);
    const ours = reorderQueries(results.get(plain)!.values, matches);
    reports.push(compareModel(name, 'max abs', ours, values, GATES[kind][gate], recorded.get(name) ?? recorded.get(plain), against));
  }
  if (has('enc_max_logit')) {
    const { values, against } = await readReference(source, 'enc_max_logit');
    const ours = results.get('enc_max_logit')!.values;
    reports.push(compareModel('enc_max_logit', 'max abs', ours, values, GATES[kind].logits, recorded.get('enc_max_logit'), against));
  }
  return reports;
}

/** Stages whose rows are queries. */
const isQueryStage = (name: string): boolean => /^decoder\.(target_in$|ref_points_unact$|layers\.)/.test(name);

async function compareStage(file: ModelFile, stage: Stage, results: Results, matches: readonly QueryMatch[]): Promise<TensorReport> {
  const { name, shape, recorded } = stage;
  const { values: reference, against } = await readReference(file.source, `stage/${name}.val`);
  const gate = GATES[file.kind].stage;
  const result = results.get(`stage/${name}`);
  if (!result) {
    const missing = compareModel(name, 'rel L2', [], reference, gate, recorded, against);
    return { ...missing, note: 'the model does not compute this stage' };
  }
  const size = shape.reduce((a, b) => a * b, 1);
  const ordered = isQueryStage(name) ? reorderQueries(result.values, matches) : result.values;
  const at = elementOf(shape, result.shape);
  const fits = ordered.length === size && at !== null;
  const ours = fits ? Float32Array.from(samplePositions(size, reference.length), (position) => ordered[at(position)]) : new Float32Array();
  const report = compareModel(name, 'rel L2', ours.map(finite(reference)), reference, gate, recorded, against);
  return fits ? report : { ...report, note: `ours is [${result.shape.join(', ')}], PyTorch's [${shape.join(', ')}]` };
}

/** Anchors outside the image are infinite in PyTorch; ours are a large number, since WGSL may assume infinities absent. */
const finite = (reference: Float32Array) => (value: number, i: number) =>
  value >= 1000 && reference[i] === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : value;
