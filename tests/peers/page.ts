/** The page of `backdrop bench peers`: everyone in one page, each with a device of its own, taking turns. */
import { dataOf, differenceOf, errorOf, flopsOf, type OpCase, opCases } from '../../src/bench/cases.ts';
import type { OpComparison, PeersRequest, SubjectTiming } from '../../src/bench/comparison.ts';
import { median } from '../../src/gpu/profiler.ts';
import { Jax } from './jax.ts';
import { configureOrt, Ort } from './ort.ts';
import { Ours } from './ours.ts';
import type { Data, Prepared, Subject } from './subject.ts';
import { Tfjs } from './tfjs.ts';

/** A result that is further from float64 than this is wrong. */
const LIMIT = 1e-4;
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
  for (const { timing, result } of runners) timing.difference = ours ? differenceOf(result, ours.result) : Number.NaN;
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

Object.assign(globalThis, { peers: { start, compare } });
