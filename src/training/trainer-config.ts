/** From a run's settings to the trainer's. */
import type { ImageRecord } from '../data/dataset.ts';
import type { ModelConfig } from '../models/configs.ts';
import { modelParameters } from '../models/rt-detr.ts';
import { groupRules, type RunConfig } from './run-config.ts';
import type { TrainerConfig } from './trainer.ts';

/** What a run's settings mean for a model and the images it is trained on. */
export function trainerConfig(config: RunConfig, model: ModelConfig, train: readonly ImageRecord[]): TrainerConfig {
  const names = [...modelParameters(model)].flatMap(([name, { kind }]) => (kind === 'param' ? [name] : []));
  const trained = names.filter((name) => !config.freeze.some((pattern) => new RegExp(pattern).test(name)));
  const { epochs, batch, accumulate, lr, weightDecay, clip, ema, emaWarmup, warmup, schedule, finalLr, milestones, gamma } = config;
  const batches = Math.floor(train.length / batch);
  const totalSteps = epochs * Math.ceil(batches / accumulate);
  return {
    ...{ epochs, batch, accumulate },
    size: config.size ?? model.size,
    // Images without objects still have a place.
    maxTargets: Math.max(1, ...train.map(({ annotations }) => annotations.filter(({ crowd }) => !crowd).length)),
    rate: lr,
    decay: weightDecay,
    rules: groupRules(config, trained),
    freeze: config.freeze,
    maxNorm: clip,
    average: ema > 0 ? { decay: ema, warmups: emaWarmup } : false,
    schedule: {
      // A short run must not end before it is warm.
      warmupSteps: Math.min(warmup, Math.floor(totalSteps / 10)),
      milestones,
      gamma,
      ...(schedule === 'constant' ? {} : { decay: schedule, totalSteps, finalFactor: finalLr }),
    },
    seed: config.seed,
    validateEvery: config.valEvery,
    patience: config.patience,
    saveEvery: 60 * config.saveEvery,
    maxTime: config.maxTime,
  };
}
