/** Training from nothing to something, small enough to be waited for. */
import { expect, it } from 'vitest';
import { modelConfig } from '../../src/models/resolve.ts';
import { page } from '../setup/gpu.ts';
import { scenePictures } from './scene-pictures.ts';
import { tinyNano } from './tiny-nano.ts';
import type { TrainerAnswer, TrainerCase } from './trainer.page.ts';

/** An easy corner of Scenes: one object a picture, thrice as large as usual, of two kinds that look and live differently. */
const easy = { seed: 3, side: 64, objects: 1, larger: 3, kinds: ['bus', 'airplane'] };
const model = modelConfig('association-detr-nano', {
  ...{ ...tinyNano, name: 'small', baseWidth: 12, queries: 10, denoising: 20, classes: 2 },
  ...{ encoderHidden: 64, encoderFfn: 128, decoderHidden: 64, decoderFfn: 128 },
  associationEncoder: { ...tinyNano.associationEncoder, dim: 64, headDim: 32, ffnHidden: 64 },
});

it('a small model that knows nothing learns four pictures by heart', async () => {
  const pictures = await scenePictures({ ...easy, train: 4, validation: 0 });
  const epochs = 200;
  const config: TrainerCase['config'] = {
    ...{ epochs, batch: 4, accumulate: 1, size: [64, 64], maxTargets: 1, seed: 7 },
    ...{ rate: 1e-3, decay: 1e-4, rules: [{ pattern: 'norm|bn|bias', decay: 0 }], maxNorm: 0.1 },
    schedule: { warmupSteps: 20, decay: 'cosine', totalSteps: 500, finalFactor: 0.02 },
    ...{ average: { decay: 0.98, warmups: 20 }, validateEvery: epochs, patience: 0, saveEvery: 3600, maxTime: 0 },
  };
  const { reason, events } = await page.call<TrainerAnswer>('trainer', { model, pictures, config } satisfies TrainerCase);
  expect(reason).toBe('finished');
  const [ap] = events.flatMap((event) => (event.type === 'validation' ? [event.evaluation.stats[0]] : []));
  expect(ap).toBeGreaterThanOrEqual(0.9);
}, 900_000);
