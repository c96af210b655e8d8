/**
 * How long each dispatch of a recording takes. Where the device has timestamp-query every dispatch gets a compute pass of its
 * own with a timestamp at both ends; browsers round timestamps (Chrome to 100 µs or 65 536 ns unless its developer features
 * are on), so the rounding is measured and short dispatches are repeated within their pass until the pass is long against it.
 * Without timestamps the wall clock is used: repeated dispatches in one submission, less what an empty submission takes.
 */
import type { Gpu } from './device.ts';

/** What the profiler needs of a Program's step. */
export interface ProfiledStep {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: readonly [number, number, number];
  readonly label: string;
  readonly kernel: string;
  readonly flops: number;
  readonly bytes: number;
}

export interface StepTiming {
  label: string;
  kernel: string;
  /** Median over the rounds, of one dispatch. */
  microseconds: number;
  /** One value a round, sorted. */
  samples: number[];
  flops: number;
  bytes: number;
  gflops: number;
  /** Bytes of the bound tensors, each counted once, over time: what a perfect cache would leave to memory. */
  gbps: number;
}

export interface KernelTiming {
  kernel: string;
  dispatches: number;
  microseconds: number;
  /** Of the sum over all kernels. */
  share: number;
  gflops: number;
  gbps: number;
}

export interface Profile {
  method: 'timestamps' | 'wall clock';
  /** Step width of the timestamps, in nanoseconds; 0 with the wall clock. */
  quantum: number;
  steps: StepTiming[];
  /** Slowest first. */
  kernels: KernelTiming[];
  microseconds: number;
}

export interface ProfileOptions {
  /** Measurements a dispatch, after one that warms up; default 3. */
  rounds?: number;
  /** False uses the wall clock even where timestamps are offered. */
  timestamps?: boolean;
  /** A pass is repeated until it takes at least this long; default 200. */
  minMicroseconds?: number;
  /** Steps that may not be repeated, since a second time they would give another result. */
  once?: (step: ProfiledStep) => boolean;
  onProgress?: (done: number, total: number) => void;
}

const MAP_READ = 0x1;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const QUERY_RESOLVE = 0x200;
const MAX_REPEATS = 2000;
/** Passes a submission: short enough for watchdogs on slow adapters. */
const BATCH = 32;
/** A quantised pass must last this many steps of the clock: rounding is then below 3 %. */
const QUANTA = 32;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Times every step. They run in their order, so that each sees the data it would see in a replay. */
export async function profileSteps(gpu: Gpu, steps: readonly ProfiledStep[], options: ProfileOptions = {}): Promise<Profile> {
  const rounds = options.rounds ?? 3;
  const stamped = options.timestamps !== false && gpu.device.features.has('timestamp-query');
  const clock: Clock = stamped ? new TimestampClock(gpu) : await WallClock.start(gpu);
  const total = (rounds + 2) * steps.length;
  let done = 0;
  const progress = (count: number) => {
    done += count;
    options.onProgress?.(Math.min(done, total), total);
  };
  const repeats = steps.map(() => 1);
  const samples: number[][] = steps.map(() => []);
  try {
    await clock.measure(steps, repeats, progress);
    await calibrate(clock, steps, repeats, options, progress);
    for (let round = 0; round < rounds; round++) {
      const times = await clock.measure(steps, repeats, progress);
      times.forEach((time, i) => {
        samples[i].push(time / repeats[i]);
      });
    }
    return summarise(steps, samples, stamped ? 'timestamps' : 'wall clock', clock.quantum);
  } finally {
    clock.destroy();
  }
}

/** Raises the repeats of dispatches that are too short to be timed. A reading of zero only says "less than the clock's step". */
async function calibrate(
  clock: Clock,
  steps: readonly ProfiledStep[],
  repeats: number[],
  { minMicroseconds = 200, once = () => false }: ProfileOptions,
  progress: (count: number) => void,
): Promise<void> {
  let open = steps.flatMap((step, i) => (once(step) ? [] : [i]));
  for (let attempt = 0; attempt < 4 && open.length > 0; attempt++) {
    const times = await clock.measure(
      open.map((i) => steps[i]),
      open.map((i) => repeats[i]),
      attempt === 0 ? progress : () => {},
    );
    const enough = Math.max(minMicroseconds, (clock.quantum / 1000) * QUANTA);
    open = open.filter((i, at) => {
      if (times[at] >= enough * 0.7 || repeats[i] >= MAX_REPEATS) return false;
      const one = Math.max(times[at], clock.quantum / 2000, 0.5) / repeats[i];
      repeats[i] = Math.min(MAX_REPEATS, Math.max(repeats[i] + 1, Math.ceil(enough / one)), repeats[i] * 64);
      return true;
    });
  }
}

function summarise(steps: readonly ProfiledStep[], samples: number[][], method: Profile['method'], quantum: number): Profile {
  const timings = steps.map(({ label, kernel, flops, bytes }, i): StepTiming => {
    const microseconds = median(samples[i]);
    const sorted = [...samples[i]].sort((a, b) => a - b);
    return { label, kernel, microseconds, samples: sorted, flops, bytes, ...rates(flops, bytes, microseconds) };
  });
  const total = timings.reduce((sum, { microseconds }) => sum + microseconds, 0);
  return { method, quantum, steps: timings, kernels: byKernel(timings, total), microseconds: total };
}

function rates(flops: number, bytes: number, microseconds: number): { gflops: number; gbps: number } {
  if (microseconds <= 0) return { gflops: 0, gbps: 0 };
  return { gflops: flops / microseconds / 1000, gbps: bytes / microseconds / 1000 };
}

function byKernel(steps: readonly StepTiming[], total: number): KernelTiming[] {
  const groups = new Map<string, StepTiming[]>();
  for (const step of steps) groups.set(step.kernel, [...(groups.get(step.kernel) ?? []), step]);
  const sum = (group: readonly StepTiming[], key: 'microseconds' | 'flops' | 'bytes') => group.reduce((all, step) => all + step[key], 0);
  return [...groups]
    .map(([kernel, group]): KernelTiming => {
      const microseconds = sum(group, 'microseconds');
      const share = total > 0 ? microseconds / total : 0;
      return { kernel, dispatches: group.length, microseconds, share, ...rates(sum(group, 'flops'), sum(group, 'bytes'), microseconds) };
    })
    .sort((a, b) => b.microseconds - a.microseconds);
}

interface Clock {
  /** Step width in nanoseconds as seen so far. */
  readonly quantum: number;
  /** Microseconds of each step, dispatched `repeats[i]` times. */
  measure(steps: readonly ProfiledStep[], repeats: readonly number[], progress: (count: number) => void): Promise<number[]>;
  destroy(): void;
}

function dispatch(pass: GPUComputePassEncoder, { pipeline, bindGroup, grid }: ProfiledStep, repeats: number): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
}

const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b));

/** The step width of a clock from some of its readings: what divides all their differences. */
export function quantumOf(readings: readonly bigint[], known = 0n): bigint {
  return readings.reduce((step, reading) => gcd(step, reading > readings[0] ? reading - readings[0] : readings[0] - reading), known);
}

class TimestampClock implements Clock {
  readonly #gpu: Gpu;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;
  #step = 0n;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#queries = gpu.device.createQuerySet({ type: 'timestamp', count: 2 * BATCH });
    this.#resolved = gpu.createBuffer('timestamps', 16 * BATCH, QUERY_RESOLVE | COPY_SRC);
    this.#staging = gpu.createBuffer('timestamps', 16 * BATCH, MAP_READ | COPY_DST);
  }

  /** Nanoseconds; a fine clock has a step of 1 to 100. */
  get quantum(): number {
    return Number(this.#step);
  }

  async measure(steps: readonly ProfiledStep[], repeats: readonly number[], progress: (count: number) => void): Promise<number[]> {
    const times: number[] = [];
    for (let first = 0; first < steps.length; first += BATCH) {
      const batch = steps.slice(first, first + BATCH);
      times.push(...(await this.#batch(batch, repeats.slice(first, first + BATCH))));
      progress(batch.length);
    }
    return times;
  }

  async #batch(steps: readonly ProfiledStep[], repeats: readonly number[]): Promise<number[]> {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    steps.forEach((step, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      dispatch(pass, step, repeats[i]);
      pass.end();
    });
    encoder.resolveQuerySet(this.#queries, 0, 2 * steps.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 16 * steps.length);
    device.queue.submit([encoder.finish()]);
    await this.#gpu.guard(this.#staging.mapAsync(1 /* GPUMapMode.READ */));
    const stamps = new BigInt64Array(this.#staging.getMappedRange().slice(0, 16 * steps.length));
    this.#staging.unmap();
    this.#step = quantumOf([...stamps], this.#step);
    // A driver may hand back a clock that was reset in between; such a reading counts as zero and is repeated.
    return steps.map((_, i) => Math.max(0, Number(stamps[2 * i + 1] - stamps[2 * i]) / 1000));
  }

  destroy(): void {
    this.#queries.destroy();
    this.#gpu.destroyBuffer(this.#resolved);
    this.#gpu.destroyBuffer(this.#staging);
  }
}

/** Microseconds from submission until the queue has drained. */
export async function wallMicroseconds(gpu: Gpu, record: (pass: GPUComputePassEncoder) => void): Promise<number> {
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  record(pass);
  pass.end();
  const commands = encoder.finish();
  const start = performance.now();
  gpu.device.queue.submit([commands]);
  await gpu.guard(gpu.device.queue.onSubmittedWorkDone());
  return (performance.now() - start) * 1000;
}

/** What a submission takes that computes nothing: the median of several. */
export async function emptySubmission(gpu: Gpu, times = 9): Promise<number> {
  const readings: number[] = [];
  for (let i = 0; i < times; i++) readings.push(await wallMicroseconds(gpu, () => {}));
  return median(readings);
}

class WallClock implements Clock {
  readonly #gpu: Gpu;
  readonly #baseline: number;

  private constructor(gpu: Gpu, baseline: number) {
    this.#gpu = gpu;
    this.#baseline = baseline;
  }

  static async start(gpu: Gpu): Promise<WallClock> {
    return new WallClock(gpu, await emptySubmission(gpu));
  }

  /** The baseline's noise is about its own size: treated like a clock's step, it makes short dispatches repeat. */
  get quantum(): number {
    return Math.round((this.#baseline * 1000) / 4);
  }

  async measure(steps: readonly ProfiledStep[], repeats: readonly number[], progress: (count: number) => void): Promise<number[]> {
    const times: number[] = [];
    for (let i = 0; i < steps.length; i++) {
      const time = await wallMicroseconds(this.#gpu, (pass) => dispatch(pass, steps[i], repeats[i]));
      times.push(Math.max(0, time - this.#baseline));
      progress(1);
    }
    return times;
  }

  destroy(): void {}
}
