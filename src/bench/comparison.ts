/** What the page of `bench peers` and the command line tell each other, and what is concluded from it. */
import type { AdapterInfo } from '../gpu/device.ts';

export const peerNames = ['tfjs', 'ort', 'jax'] as const;
export type PeerName = (typeof peerNames)[number];

export interface PeersRequest {
  peers: PeerName[];
  variants: Record<string, string>;
}

export interface PeersStarted {
  subjects: string[];
  adapter: AdapterInfo;
  /** Why a peer did not start. */
  failed: Record<string, string>;
}

export interface SubjectTiming {
  subject: string;
  /** Milliseconds a run, one value a round, sorted. */
  samples: number[];
  median: number;
  /** Against float64 at single places, relative to the largest value. */
  error: number | null;
  /** Against ours everywhere. */
  difference: number | null;
  /** A wrong result, or what went wrong; such a subject does not count. */
  problem: string | null;
}

export interface OpComparison {
  name: string;
  flops: number;
  timings: SubjectTiming[];
}

export interface ModelComparison {
  name: string;
  size: number;
  flops: number;
  timings: SubjectTiming[];
  /** Milliseconds of loading, compiling and the first forward. */
  firsts: Record<string, number>;
  fileBytes: number;
}

/** What a subject asks of its device. */
export interface TrainingUse {
  /** Of a step. */
  dispatches: number;
  submits: number;
  /** Most bytes of buffers at once, from the device's start. */
  peakBytes: number;
  /** Losses of the first steps. */
  losses: number[];
  /** Milliseconds of the first step, with all that is compiled for it. */
  first: number;
}

export interface TrainingComparison {
  name: string;
  flops: number;
  /** `error`: the first loss against ours, `difference`: the next ones, both relative. */
  timings: SubjectTiming[];
  uses: Record<string, TrainingUse>;
}

export interface Verdict {
  best: string;
  /** The best correct peer's time over ours. */
  ratio: number;
}

/** Null where ours failed or no peer is correct. */
export function verdictOf({ timings }: Pick<OpComparison, 'timings'>): Verdict | null {
  const correct = timings.filter(({ problem }) => problem === null);
  const ours = correct.find(({ subject }) => subject === 'backdrop');
  const peers = correct.filter(({ subject }) => subject !== 'backdrop').sort((a, b) => a.median - b.median);
  if (!ours || peers.length === 0) return null;
  return { best: peers[0].subject, ratio: peers[0].median / ours.median };
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
