/** The page of `backdrop bench peers`: everyone in one page, each with a device of its own, taking turns. */
import { dataOf, differenceOf, errorOf, flopsOf, type OpCase, opCases, toPlanes } from '../../src/bench/cases.ts';
import type { ModelComparison, OpComparison, PeerName, PeersRequest, SubjectTiming } from '../../src/bench/comparison.ts';
import { forwardMilliseconds, type LoadedModel, loadModel } from '../../src/bench/run-model.ts';
import { benchImage, benchTensor } from '../../src/bench/weights.ts';
import { median } from '../../src/gpu/profiler.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { Jax, jaxModel } from './jax.ts';
import { rtdetrOnnx } from './onnx-rtdetr.ts';
import { configureOrt, Ort, ortModel } from './ort.ts';
import { Ours } from './ours.ts';
import type { Data, Prepared, Subject } from './subject.ts';
import { Tfjs } from './tfjs.ts';

/** A result that is further from float64 than this is wrong. */
const LIMIT = 1e-4;
/** Of whole models: top-k may take another of two nearly equal tokens, which moves a few of 300 queries. */
const MODEL_LIMIT = 1e-2;
/** A batch of runs between two waits takes about this long, so that waiting does not count. */
const BATCH_MS = 60;
const MAX_BATCH = 40;

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
    const timing: SubjectTiming = {
      subject: subject.name,
      samples: [],
      median: 0,
      error: Number.NaN,
      difference: Number.NaN,
      problem: null,
    };
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
  for (let round = 0; round < rounds; round++) {
    // Everyone is first once: who comes first after a pause may find the processor asleep.
    for (let i = 0; i < runners.length; i++) {
      const { prepared, timing, batch } = runners[(round + i) % runners.length];
      const begin = performance.now();
      await prepared.run(batch);
      timing.samples.push((performance.now() - begin) / batch);
    }
  }
  for (const { timing, prepared } of runners) {
    timing.median = median(timing.samples);
    timing.samples.sort((a, b) => a - b);
    await prepared.destroy();
  }
  return { name, flops: flopsOf(op), timings };
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

let ours: LoadedModel | null = null;

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
  ours ??= await loadModel(gpu, kernels, name, size);
  const { program } = ours;
  const runners: { timing: SubjectTiming; run: () => Promise<unknown>; outputs: ModelOutputs | null }[] = [];
  const begin = (subject: string): SubjectTiming => {
    const timing = { subject, samples: [], median: 0, error: null, difference: null, problem: null };
    timings.push(timing);
    return timing;
  };
  const timings: SubjectTiming[] = [];
  const firsts: Record<string, number> = { backdrop: ours.build + ours.first };
  const own = await program.run({ image });
  const reference = { logits: own.get('logits') as Float32Array, boxes: own.get('boxes') as Float32Array };
  const mine = begin('backdrop');
  runners.push({ timing: mine, run: () => forwardMilliseconds(gpu, program), outputs: reference });
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
      timing.difference = modelDifference(outputs, reference, config.classes);
      if (!(timing.difference <= MODEL_LIMIT)) timing.problem = 'other result than ours';
      runners.push({ timing, run: () => model.run(), outputs });
    } catch (error) {
      timing.problem = messageOf(error);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < runners.length; i++) {
      const { timing, run } = runners[(round + i) % runners.length];
      const start = performance.now();
      await run();
      timing.samples.push(performance.now() - start);
    }
  }
  for (const { timing } of runners) {
    timing.median = median(timing.samples);
    timing.samples.sort((a, b) => a - b);
  }
  return { name, size, flops: program.statistics.flops, timings, firsts, fileBytes: bytes.length };
}

interface ModelOutputs {
  logits: Float32Array;
  boxes: Float32Array;
}

/**
 * Queries whose class logits are nearly equal may come in another order, so what is compared does not depend on it: the best
 * logit of each query, sorted, and the sorted box coordinates.
 */
function modelDifference(a: ModelOutputs, b: ModelOutputs, classes: number): number {
  const best = ({ logits }: ModelOutputs) =>
    Float32Array.from({ length: logits.length / classes }, (_, i) => Math.max(...logits.subarray(i * classes, (i + 1) * classes))).sort();
  const sorted = ({ boxes }: ModelOutputs) => Float32Array.from(boxes).sort();
  return Math.max(differenceOf(best(a), best(b)), differenceOf(sorted(a), sorted(b)));
}

Object.assign(globalThis, { peers: { start, compare, compareModel } });
