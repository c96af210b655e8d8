/** Learning rates and moving-average decays as functions of the step: nothing to store, nothing to resume. */

export interface ScheduleOptions {
  /** Steps over which the rate rises linearly; 0 or left out: none (RT-DETRv2: 2000). */
  warmupSteps?: number;
  /** Factor of the first step, from which it rises to 1 at step `warmupSteps`, as torch's LinearLR; left out: 1 / warmupSteps. */
  warmupStart?: number;
  /** Epochs at whose beginning the rate is multiplied with gamma (official configurations: 1000, so never). */
  milestones?: readonly number[];
  /** 0.1 when left out. */
  gamma?: number;
  /** How the rate falls from the end of the warm-up to the last step; it stays when left out. */
  decay?: 'cosine' | 'linear';
  /** Steps of the whole run, for `decay`. */
  totalSteps?: number;
  /** What is left of the rate at the last step, for `decay`; 0.01 when left out. */
  finalFactor?: number;
}

/**
 * What the base rate is multiplied with at a step (from 0) of an epoch (from 0): min(1, (step + 1) / warmupSteps) times gamma for
 * every milestone reached, as torch's MultiStepLR behind RT-DETRv2's LinearWarmup (`warmupStart` makes it another line); and, where
 * asked for, a fall to `finalFactor` along a line or half a cosine (I. Loshchilov, F. Hutter, "SGDR", ICLR 2017).
 */
export function rateFactor(step: number, epoch: number, options: ScheduleOptions = {}): number {
  const { milestones = [], gamma = 0.1 } = options;
  return warm(step, options) * gamma ** milestones.filter((milestone) => epoch >= milestone).length * fall(step, options);
}

function warm(step: number, { warmupSteps = 0, warmupStart }: ScheduleOptions): number {
  if (warmupSteps <= 0) return 1;
  if (warmupStart === undefined) return Math.min(1, (step + 1) / warmupSteps);
  return warmupStart + (1 - warmupStart) * Math.min(1, step / warmupSteps);
}

function fall(step: number, { decay, warmupSteps = 0, totalSteps = 0, finalFactor = 0.01 }: ScheduleOptions): number {
  if (!decay) return 1;
  const done = Math.min(1, Math.max(0, (step - warmupSteps) / Math.max(1, totalSteps - 1 - warmupSteps)));
  const left = decay === 'linear' ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return finalFactor + (1 - finalFactor) * left;
}

/** Decay of the parameters' moving average at its update `updates` (from 1): decay (1 - exp(-updates / warmups)). */
export function averageDecay(updates: number, { decay = 0.9999, warmups = 2000 }: { decay?: number; warmups?: number } = {}): number {
  return decay * (1 - Math.exp(-updates / warmups));
}
