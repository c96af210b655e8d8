/** From a run's settings to the trainer's. */
import { type AugmentationConfig, rtDetrAugmentation } from '../data/augment/augment.ts';
import type { ImageRecord } from '../data/dataset.ts';
import type { ModelConfig } from '../models/configs.ts';
import type { RunConfig } from './run-config.ts';
import type { TrainerConfig } from './trainer.ts';

/** Objects of an image that are learnt. */
export const objectsIn = ({ annotations }: ImageRecord): number => annotations.filter(({ crowd }) => !crowd).length;

/** What a run's settings mean for a model and the images it is trained on. */
export function trainerConfig(config: RunConfig, model: ModelConfig, train: readonly ImageRecord[]): TrainerConfig {
  const { epochs, batch, accumulate, lr, weightDecay, clip, ema, emaWarmup, warmup, schedule, finalLr, milestones, gamma } = config;
  const batches = Math.floor(train.length / batch);
  const totalSteps = epochs * Math.ceil(batches / accumulate);
  return {
    ...{ epochs, batch, accumulate },
    size: config.size ?? model.size,
    // Images without objects still have a place.
    maxTargets: train.reduce((most, record) => Math.max(most, objectsIn(record)), 1),
    rate: lr,
    decay: weightDecay,
    rules: config.rules,
    freeze: config.freeze,
    recompute: config.recompute,
    maxNorm: clip,
    average: ema > 0 ? { decay: ema, warmups: emaWarmup } : false,
    schedule: {
      // A short run must not end before it is warm.
      warmupSteps: Math.min(warmup, Math.floor(totalSteps / 10)),
      ...(config.warmupStart === undefined ? {} : { warmupStart: config.warmupStart }),
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

const light: AugmentationConfig = { ...rtDetrAugmentation, zoomOut: null, iouCrop: null };
const augmentations: Record<RunConfig['augment'], AugmentationConfig | null> = {
  rtdetr: rtDetrAugmentation,
  light,
  flip: { ...light, photometricDistort: null },
  none: null,
};

/** Pictures that are to be learnt by heart stay as they are. */
export function augmentationOf({ augment, overfit, plainFrom }: RunConfig): AugmentationConfig | null {
  const chosen = overfit > 0 ? null : augmentations[augment];
  return chosen && plainFrom !== undefined ? { ...chosen, stopEpoch: plainFrom } : chosen;
}
