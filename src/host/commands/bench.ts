/** "backdrop bench": how fast this adapter runs the operations and the models, and how that compares with other frameworks. */
import { opCases } from '../../bench/cases.ts';
import {
  type ModelComparison,
  type OpComparison,
  type PeerName,
  type PeersRequest,
  peerNames,
  type TrainingComparison,
} from '../../bench/comparison.ts';
import { convnetWorkloads } from '../../bench/convnet.ts';
import type { CostReport, CostRequest, ModelReport, ModelRequest } from '../../bench/run-model.ts';
import type { OpsReport, OpsRequest } from '../../bench/run-ops.ts';
import type { TrainReport, TrainRequest } from '../../bench/run-training.ts';
import { DEFAULT_RECOMPUTE } from '../../graph/recompute.ts';
import { models } from '../../models/configs.ts';
import { readSettings } from '../../training/run-config.ts';
import { adapterName } from '../adapter-name.ts';
import { type Args, numberOption, textOption, usageError } from '../args.ts';
import { evaluationLines, timeEvaluation } from '../bench/evaluation.ts';
import { pageFigureLines, pageFigures } from '../bench/page.ts';
import { type PeersPage, withPeers } from '../bench/peers.ts';
import { benchPipeline, pipelineLines } from '../bench/pipeline.ts';
import {
  ceilingLine,
  comparisonSummary,
  comparisonTable,
  costTable,
  memoryTable,
  modelComparisonTable,
  modelDetails,
  modelTable,
  opsTable,
  trainingComparisonTable,
  trainTable,
} from '../bench/tables.ts';
import type { Command } from '../cli.ts';
import type { Io } from '../io.ts';
import { softwareWarning, withSession } from '../with-session.ts';

const suites = ['ops', 'model', 'train', 'peers', 'evaluation', 'page'] as const;
const defaultModels = ['rtdetr-r18', 'rtdetr-r34', 'rtdetr-r50', 'association-detr-r34', 'association-detr-r50'];
/** What the Association Encoder costs: each with it, and without. */
const costPairs = [
  ['association-detr-r34', 'rtdetr-r34'],
  ['association-detr-r50', 'rtdetr-r50'],
] as const;
/** The model that the peers' page compares. */
const peerModel = 'rtdetr-r18';
/** The model that `bench train` takes when none is named. */
const trainModel = 'rtdetr-r18';
/** And with --steps. */
const pipelineModel = 'association-detr-nano';

export const bench: Command = {
  spec: {
    name: 'bench',
    summary: 'time the operations and models on this adapter, alone or beside other frameworks',
    usage: '[ops|model|train|peers|evaluation|page] [options]',
    description: [
      'ops (default): each operation at the shapes of the detectors, with its share of what the adapter can do at most.',
      'model: whole forward passes: time, dispatches, pipelines, memory, JavaScript time, slowest kernels; then what the Association',
      'Encoder costs, models with and without it in turn.',
      'train: training steps beside forward passes of the same model, size and batch, in turn; slowest kernels of the step. With --steps',
      'the trainer with its loaders on generated pictures: images/s, how long it waits for data, whether memory grows.',
      'peers: the operations, RT-DETR-R18 and the training step of a convnet beside tfjs, ONNX Runtime Web and jax-js, in turn in one',
      'page. Needs a clone of the repository; installs the peers into tests/peers when they are missing.',
      'evaluation: the COCO metric on a made-up set of the size of val2017, on one core, in Node.',
      'page: the demo page in a fresh Chrome: first paint, first result, layout shift, how long anything blocks it, and its heap over',
      '100 frames; --picture also takes its picture, boxes and background map side by side.',
    ].join('\n'),
    positionals: { name: 'suite', min: 0, max: 1 },
    options: {
      model: {
        type: 'string',
        value: 'NAME,...',
        help: `model, train: which models (default: ${defaultModels.join(', ')}; train: ${trainModel})`,
      },
      batch: { type: 'string', value: 'N', help: 'train suite: images of a step (default 1, with --steps 4)' },
      steps: {
        type: 'string',
        value: 'N',
        help: `train suite: so many steps of the whole trainer, loaders and all (model: ${pipelineModel})`,
      },
      size: { type: 'string', value: 'N', help: 'input size of models, a multiple of 32 (default 640, with --steps 256)' },
      recompute: {
        type: 'string',
        value: 'WHAT',
        help: 'train: none, normalised (default) or patterns of blocks, as in "backdrop train"; memory is printed with and without',
      },
      plan: { type: 'boolean', help: "model, train: print each model's memory plan" },
      rounds: { type: 'string', value: 'N', help: 'measurements of each thing (default 5)' },
      cases: {
        type: 'string',
        value: 'TEXT,...',
        help: 'ops, peers: only cases whose name contains one of these; peers has the cases "rtdetr" and "convnet", too',
      },
      only: { type: 'string', value: 'PEER,...', help: 'peers: only these of tfjs, ort, jax' },
      picture: { type: 'string', value: 'FILE', help: "page: writes the page's picture (.png, .jpg or .webp)" },
      variant: { type: 'string', value: 'OP=NAME,...', help: 'force kernel variants, as in gemm=registers' },
    },
    examples: [
      'backdrop bench',
      'backdrop bench model --model association-detr-r34 --plan',
      'backdrop bench peers --only jax --cases matmul',
    ],
  },
  async run(args, io) {
    const suite = args.positionals[0] ?? 'ops';
    if (suite === 'ops') await benchOps(args, io);
    else if (suite === 'model') await benchModels(args, io);
    else if (suite === 'train') await (textOption(args, 'steps') === undefined ? benchTrain(args, io) : benchTrainer(args, io));
    else if (suite === 'peers') await benchPeers(args, io);
    else if (suite === 'evaluation') benchEvaluation(args, io);
    else if (suite === 'page') await benchPage(args, io);
    else throw usageError(`unknown suite "${suite}"`, `Suites: ${suites.join(', ')}.`);
    return 0;
  },
};

/** A comma-separated option. */
const listOption = (args: Args, name: string): string[] => textOption(args, name)?.split(',').filter(Boolean) ?? [];

function variantsOption(args: Args): Record<string, string> {
  const pairs = listOption(args, 'variant').map((text) => text.split('='));
  if (pairs.some((pair) => pair.length !== 2 || pair.includes('')))
    throw usageError('--variant takes OPERATION=NAME, as in gemm=registers');
  return Object.fromEntries(pairs);
}

const roundsOption = (args: Args): number => numberOption(args, 'rounds', 5, { min: 1, max: 1000, integer: true });
const sizeOption = (args: Args, usual = 640): number => numberOption(args, 'size', usual, { min: 32, max: 4096, multipleOf: 32 });

/** The cases that --cases asks for; throws when there is none. */
function casesOption(args: Args, others: readonly string[] = []): string[] {
  const wanted = listOption(args, 'cases');
  const names = [...opCases.map(({ name }) => name), ...others];
  const found = names.filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  if (found.length === 0)
    throw usageError(`no case contains ${wanted.map((part) => `"${part}"`).join(' or ')}`, `Cases: ${names.join(', ')}.`);
  return found;
}

/** Progress lines of the page's long calls. */
function showProgress(io: Io): (progress: { label: string; fraction?: number }) => void {
  return ({ label, fraction }) => io.progress(label, fraction);
}

async function benchOps(args: Args, io: Io): Promise<void> {
  const request: OpsRequest = { rounds: roundsOption(args), cases: casesOption(args), variants: variantsOption(args) };
  await withSession(io, async (session) => {
    const report = await session.call<OpsReport>('bench ops', request, { onProgress: showProgress(io), signal: io.signal });
    io.progressDone();
    if (report.adapter.software) io.warn(softwareWarning);
    io.emit({ type: 'bench-ops', chrome: session.chrome.version, ...report });
    io.print(`${adapterName(report.adapter)} | ${session.chrome.version} | ${timingLine(report)}`);
    io.print(ceilingLine(report.ceiling));
    io.print('');
    for (const line of opsTable(report.results)) io.print(line);
  });
}

async function benchPage(args: Args, io: Io): Promise<void> {
  const figures = await pageFigures(io, textOption(args, 'picture'));
  io.progressDone();
  io.emit({ type: 'bench-page', ...figures });
  for (const line of pageFigureLines(figures)) io.print(line);
}

function timingLine({ method, quantum }: OpsReport): string {
  if (method === 'wall clock') return 'timed by the wall clock (no timestamp-query)';
  return `timed by GPU timestamps, ${quantum >= 1000 ? `rounded to ${quantum / 1000} µs` : 'not rounded'}`;
}

/** The models that --model names. */
function modelsOption(args: Args, usual: readonly string[]): readonly string[] {
  const asked = listOption(args, 'model');
  const unknown = asked.find((name) => !models.has(name));
  if (unknown) throw usageError(`unknown model "${unknown}"`, `Models: ${[...models.keys()].join(', ')}.`);
  return asked.length > 0 ? asked : usual;
}

async function benchTrain(args: Args, io: Io): Promise<void> {
  const batch = numberOption(args, 'batch', 1, { min: 1, max: 64, integer: true });
  const { recompute = DEFAULT_RECOMPUTE } = readSettings({ recompute: textOption(args, 'recompute') ?? DEFAULT_RECOMPUTE }, '--recompute');
  const common = { batch, size: sizeOption(args), rounds: roundsOption(args), variants: variantsOption(args), recompute };
  const reports: TrainReport[] = [];
  for (const model of modelsOption(args, [trainModel])) {
    const request: TrainRequest = { model, ...common };
    const options = { onProgress: showProgress(io), signal: io.signal };
    const report = await withSession(io, (session) => session.call<TrainReport>('bench train', request, options));
    io.progressDone();
    if (reports.length === 0 && report.adapter.software) io.warn(softwareWarning);
    reports.push(report);
    io.emit({ type: 'bench-train', ...report });
    for (const line of modelDetails(report)) io.print(line);
    if (args.values.plan) io.print(`${report.plan}\n`);
    for (const line of [...memoryTable(report), '']) io.print(line);
  }
  io.print(adapterName(reports[0].adapter));
  io.print('');
  for (const line of trainTable(reports)) io.print(line);
}

async function benchTrainer(args: Args, io: Io): Promise<void> {
  const steps = numberOption(args, 'steps', 0, { min: 100, max: 1e6, integer: true });
  const batch = numberOption(args, 'batch', 4, { min: 1, max: 64, integer: true });
  const [model] = modelsOption(args, [pipelineModel]);
  const report = await benchPipeline({ model, size: sizeOption(args, 256), batch, steps }, io);
  if (report.software) io.warn(softwareWarning);
  io.emit({ type: 'bench-trainer', ...report });
  io.print(`${report.adapter} | ${report.chrome}`);
  for (const line of pipelineLines(report)) io.print(line);
}

async function benchModels(args: Args, io: Io): Promise<void> {
  const names = modelsOption(args, defaultModels);
  const common = { size: sizeOption(args), rounds: roundsOption(args), variants: variantsOption(args) };
  const options = { onProgress: showProgress(io), signal: io.signal };
  const reports: ModelReport[] = [];
  for (const model of names) {
    // A Chrome for each: only a fresh one has compiled nothing yet.
    const report = await withSession(io, (session) => {
      const request: ModelRequest = { model, profile: true, ...common };
      return session.call<ModelReport>('bench model', request, options);
    });
    if (reports.length === 0 && report.adapter.software) io.warn(softwareWarning);
    reports.push(report);
    io.emit({ type: 'bench-model', ...report });
    for (const line of modelDetails(report)) io.print(line);
    if (args.values.plan) io.print(`${report.plan}\n`);
  }
  io.print(adapterName(reports[0].adapter));
  io.print('');
  for (const line of modelTable(reports)) io.print(line);

  const pairs = costPairs.filter(([model, base]) => names.includes(model) && names.includes(base));
  const costs: CostReport[] = [];
  for (const [model, base] of pairs) {
    const request: CostRequest = { model, base, ...common };
    costs.push(await withSession(io, (session) => session.call<CostReport>('bench cost', request, options)));
    io.emit({ type: 'bench-cost', ...costs[costs.length - 1] });
  }
  if (costs.length > 0) io.print('');
  for (const line of costTable(costs)) io.print(line);
}

function benchEvaluation(args: Args, io: Io): void {
  const report = timeEvaluation(roundsOption(args));
  io.emit({ type: 'bench-evaluation', ...report });
  for (const line of evaluationLines(report)) io.print(line);
}

async function benchPeers(args: Args, io: Io): Promise<void> {
  const only = listOption(args, 'only');
  const unknown = only.find((name) => !peerNames.includes(name as PeerName));
  if (unknown) throw usageError(`unknown peer "${unknown}"`, `Peers: ${peerNames.join(', ')}.`);
  const peers = peerNames.filter((name) => only.length === 0 || only.includes(name));
  const workloads = convnetWorkloads.map(({ name }) => name);
  const wanted = casesOption(args, [peerModel, ...workloads]);
  const cases = wanted.filter((name) => name !== peerModel && !workloads.includes(name));
  const request: PeersRequest = { peers, variants: variantsOption(args) };
  const [rounds, size] = [roundsOption(args), sizeOption(args)];
  const begin = ({ started, chrome }: PeersPage) => {
    for (const [name, problem] of Object.entries(started.failed)) io.warn(`${name} did not start: ${problem}`);
    if (started.adapter.software) io.warn(softwareWarning);
    return `${adapterName(started.adapter)} | ${chrome} | medians of ${rounds} rounds, everyone in turn`;
  };
  // Each in a page of its own: what a device holds counts from its start.
  for (const name of wanted.filter((name) => workloads.includes(name))) {
    await withPeers(io, request, async (page) => {
      const heading = begin(page);
      io.progress(`${name}: compiling and stepping`);
      const training: TrainingComparison = await page.compareTraining(name, rounds);
      io.progressDone();
      io.emit({ type: 'bench-peers-training', chrome: page.chrome, adapter: page.started.adapter, training });
      io.print(heading);
      io.print('');
      for (const line of trainingComparisonTable(training)) io.print(line);
      io.print('');
    });
  }
  if (!wanted.some((name) => !workloads.includes(name))) return;
  await withPeers(io, request, async (page) => {
    const { started } = page;
    const heading = begin(page);
    const comparisons: OpComparison[] = [];
    for (const [at, name] of cases.entries()) {
      io.progress(name, at / cases.length);
      comparisons.push(await page.compare(name, rounds));
    }
    const running = peers.filter((name) => !(name in started.failed));
    let whole: ModelComparison | null = null;
    if (wanted.includes(peerModel)) {
      io.progress(`${peerModel} @${size}: compiling and running`);
      whole = await page.compareModel(peerModel, size, rounds, running);
    }
    io.progressDone();
    io.emit({ type: 'bench-peers', chrome: page.chrome, adapter: started.adapter, comparisons, model: whole });
    io.print(heading);
    if (comparisons.length > 0) {
      io.print('');
      for (const line of comparisonTable(started.subjects, comparisons)) io.print(line);
      io.print('');
      io.print(comparisonSummary(comparisons));
    }
    if (whole) {
      io.print('');
      for (const line of modelComparisonTable(whole)) io.print(line);
    }
  });
}
