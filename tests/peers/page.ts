/** The page of `backdrop bench peers`: everyone in one page, each with a device of its own, taking turns. */
import { dataOf, differenceOf, errorOf, flopsOf, type OpCase, opCases, toPlanes } from '../../src/bench/cases.ts';
import type {
  ModelComparison,
  OpComparison,
  PeerName,
  PeersRequest,
  SubjectTiming,
  TrainingComparison,
  TrainingUse,
} from '../../src/bench/comparison.ts';
import { convnet, convnetWorkloads } from '../../src/bench/convnet.ts';
import { forwardMilliseconds, loadModel } from '../../src/bench/run-model.ts';
import { benchImage, benchTensor } from '../../src/bench/weights.ts';
import { median } from '../../src/gpu/profiler.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { deviceUse, watchDevices } from './device-use.ts';
import { Jax, jaxModel } from './jax.ts';
import { rtdetrOnnx } from './onnx-rtdetr.ts';
import { configureOrt, Ort, ortModel } from './ort.ts';
import { Ours } from './ours.ts';
import type { Data, ModelOutputs, Prepared, PreparedTraining, Subject } from './subject.ts';
import { Tfjs } from './tfjs.ts';

/** A result that is further from float64 than this is wrong. */
const LIMIT = 1e-4;
/** Of whole models, against ours: the score of every token; logits and boxes of the queries chosen by it. */
const SCORE_LIMIT = 1e-3;
const MODEL_LIMIT = 0.1;
/** A batch of runs between two waits takes about this long, so that waiting does not count. */
const BATCH_MS = 60;
const MAX_BATCH = 40;

/**
 * Of training: the first loss against ours, relative; and the next ones, before which Adam has moved every weight by its whole rate,
 * however small the gradient whose sign says where.
 */
const LOSS_LIMIT = 1e-4;
const LATER_LOSS_LIMIT = 2e-2;
/** Steps whose losses are compared. */
const CHECKED = 3;

watchDevices();
let subjects: Subject[] = [];

/** Starts the subjects; what does not start is reported and left out. */
async function start(request: PeersRequest): Promise<{ subjects: string[]; adapter: Ours['gpu']['info']; failed: Record<string, string> }> {
  const failed: Record<string, string> = {};
  const ours = await Ours.start(request.variants);
  subjects = [ours];
  configureOrt(new URL('ort/ort-wasm-simd-threaded.asyncify.wasm', location.href).href);
  const starters: Record<string, () => Promise<Subject[]>> = {
    tfjs: async () => [await Tfjs.start()],
    ort: async () => [new Ort('ort'), new Ort('ort-nhwc'), new Ort('ort-mha')],
    jax: async () => [await Jax.start()],
  };
  for (const name of request.peers) {
    try {
      subjects.push(...(await starters[name]()));
    } catch (error) {
      failed[name] = messageOf(error);
    }
  }
  return { subjects: subjects.map(({ name }) => name), adapter: ours.gpu.info, failed };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0].slice(0, 200);

interface Runner {
  timing: SubjectTiming;
  prepared: Prepared;
  result: Float32Array;
  batch: number;
}

async function compare(name: string, rounds: number): Promise<OpComparison> {
  const op = opCases.find((known) => known.name === name) as OpCase;
  const data = dataOf(op);
  const timings: SubjectTiming[] = [];
  const runners: Runner[] = [];
  for (const subject of subjects) {
    const timing = newTiming(subject.name);
    try {
      const runner = await prepare(subject, op, data, timing);
      if (!runner) continue;
      runners.push(runner);
    } catch (error) {
      timing.problem = messageOf(error);
    }
    timings.push(timing);
  }
  const ours = runners.find(({ timing }) => timing.subject === 'backdrop');
  for (const { timing, result } of runners) if (ours) timing.difference = differenceOf(result, ours.result);
  await takeTurns(
    rounds,
    runners.map(({ timing, prepared, batch }) => ({ timing, batch, run: () => prepared.run(batch) })),
  );
  for (const { prepared } of runners) await prepared.destroy();
  return { name, flops: flopsOf(op), timings };
}

const newTiming = (subject: string): SubjectTiming => ({ subject, samples: [], median: 0, error: null, difference: null, problem: null });

/** Everyone runs once a round and is first once: who comes first after a pause may find the processor asleep. */
async function takeTurns(rounds: number, runners: readonly { timing: SubjectTiming; batch: number; run(): Promise<unknown> }[]) {
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < runners.length; i++) {
      const { timing, batch, run } = runners[(round + i) % runners.length];
      const begin = performance.now();
      await run();
      timing.samples.push((performance.now() - begin) / batch);
    }
  }
  for (const { timing } of runners) {
    timing.median = median(timing.samples);
    timing.samples.sort((a, b) => a - b);
  }
}

/** Uploads, compiles, checks and warms up. */
async function prepare(subject: Subject, op: OpCase, data: Data, timing: SubjectTiming): Promise<Runner | null> {
  const prepared = await subject.prepare(op, data);
  if (!prepared) return null;
  const result = await prepared.result();
  timing.error = errorOf(op, data, result);
  if (!(timing.error <= LIMIT)) timing.problem = 'wrong result';
  await prepared.run(1);
  const begin = performance.now();
  await prepared.run(1);
  const batch = Math.min(MAX_BATCH, Math.max(1, Math.ceil(BATCH_MS / (performance.now() - begin))));
  return { timing, prepared, result, batch };
}

/**
 * RT-DETR at `size` on ours and on the peers' ONNX loaders, with the same weights and image, in turn. First runs are part of the
 * answer: they compile.
 */
async function compareModel(name: string, size: number, rounds: number, peers: PeerName[]): Promise<ModelComparison> {
  const { config, parameters } = buildModel(name);
  const image = benchImage(size);
  const planes = toPlanes(image, 3);
  const bytes = rtdetrOnnx(config, size, benchTensor(parameters));
  const { gpu, kernels } = subjects.find((subject) => subject instanceof Ours) as Ours;
  const ours = await loadModel(gpu, kernels, name, { size, scores: true });
  const { program } = ours;
  const runners: { timing: SubjectTiming; run: () => Promise<unknown> }[] = [];
  const timings: SubjectTiming[] = [];
  const begin = (subject: string): SubjectTiming => {
    timings.push(newTiming(subject));
    return timings[timings.length - 1];
  };
  const firsts: Record<string, number> = { backdrop: ours.build + ours.first };
  const own = await program.run({ image });
  const reference = Object.fromEntries(own) as unknown as ModelOutputs;
  const mine = begin('backdrop');
  runners.push({ timing: mine, run: () => forwardMilliseconds(gpu, program) });
  const loaders = { jax: () => jaxModel(bytes, planes, size), ort: () => ortModel(bytes, planes, size) };
  for (const peer of peers) {
    if (peer === 'tfjs') continue;
    const timing = begin(peer);
    try {
      const start = performance.now();
      const model = await loaders[peer]();
      await model.run();
      firsts[peer] = performance.now() - start;
      const outputs = await model.result();
      compareOutputs(timing, outputs, reference, config.classes);
      runners.push({ timing, run: () => model.run() });
    } catch (error) {
      timing.problem = messageOf(error);
    }
  }
  await takeTurns(
    rounds,
    runners.map((runner) => ({ ...runner, batch: 1 })),
  );
  ours.destroy();
  return { name, size, flops: program.statistics.flops, timings, firsts, fileBytes: bytes.length };
}

/** The convnet's training step on everyone who trains. Their devices must be new: what they hold counts from their start. */
async function compareTraining(name: string, rounds: number): Promise<TrainingComparison> {
  const net = convnet(convnetWorkloads.find((known) => known.name === name)!);
  const timings: SubjectTiming[] = [];
  const uses: Record<string, TrainingUse> = {};
  const runners: { timing: SubjectTiming; prepared: PreparedTraining }[] = [];
  for (const subject of subjects) {
    if (!subject.prepareTraining) continue;
    const timing = newTiming(subject.name);
    timings.push(timing);
    try {
      const begin = performance.now();
      const prepared = await subject.prepareTraining(net);
      const losses = [await prepared.step()];
      uses[subject.name] = { dispatches: 0, submits: 0, peakBytes: 0, losses, first: performance.now() - begin };
      while (losses.length < CHECKED) losses.push(await prepared.step());
      runners.push({ timing, prepared });
      compareLosses(timing, losses, uses.backdrop.losses);
    } catch (error) {
      timing.problem = messageOf(error);
    }
  }
  const before = runners.map(({ prepared }) => deviceUse(prepared.device));
  await takeTurns(
    rounds,
    runners.map(({ timing, prepared }) => ({ timing, batch: 1, run: () => prepared.step() })),
  );
  for (const [i, { timing, prepared }] of runners.entries()) {
    const after = deviceUse(prepared.device);
    const ofAStep = (what: 'dispatches' | 'submits') => (after[what] - before[i][what]) / rounds;
    Object.assign(uses[timing.subject], { dispatches: ofAStep('dispatches'), submits: ofAStep('submits'), peakBytes: after.peakBytes });
  }
  return { name, flops: net.flops, timings, uses };
}

function compareLosses(timing: SubjectTiming, theirs: readonly number[], ours: readonly number[]): void {
  const [first, ...next] = theirs.map((loss, i) => Math.abs(loss - ours[i]) / ours[i]);
  timing.error = first;
  timing.difference = Math.max(...next);
  if (!(timing.error <= LOSS_LIMIT && timing.difference <= LATER_LOSS_LIMIT)) timing.problem = 'other losses than ours';
}

/**
 * Scores are compared token by token. What follows the choice of the best 300 is not: where two tokens are nearly equal another
 * one may be chosen, which moves all queries a little through their attention to each other. Hence sorted, and with another limit.
 */
function compareOutputs(timing: SubjectTiming, theirs: ModelOutputs, ours: ModelOutputs, classes: number): void {
  const best = ({ logits }: ModelOutputs) =>
    Float32Array.from({ length: logits.length / classes }, (_, i) => Math.max(...logits.subarray(i * classes, (i + 1) * classes))).sort();
  const sorted = ({ boxes }: ModelOutputs) => Float32Array.from(boxes).sort();
  timing.error = differenceOf(theirs.scores, ours.scores);
  timing.difference = Math.max(differenceOf(best(theirs), best(ours)), differenceOf(sorted(theirs), sorted(ours)));
  if (!(timing.error <= SCORE_LIMIT && timing.difference <= MODEL_LIMIT)) timing.problem = 'other result than ours';
}

Object.assign(globalThis, { peers: { start, compare, compareModel, compareTraining } });
