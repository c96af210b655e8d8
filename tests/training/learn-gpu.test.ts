/** Training from nothing to something, small enough to be waited for. */
import { expect, it } from 'vitest';
import { modelConfig } from '../../src/models/resolve.ts';
import { page } from '../setup/gpu.ts';
import { scenePictures } from './scene-pictures.ts';
import { tinyNano } from './tiny-nano.ts';
import type { TrainerAnswer, TrainerCase } from './trainer.page.ts';

/** An easy corner of Scenes: one object a picture, larger than usual, of two kinds that look and live differently. */
const easy = { seed: 3, side: 64, objects: 1, larger: 4, kinds: ['bus', 'airplane'] };
const model = (decoderLayers: number) =>
  modelConfig('association-detr-nano', {
    ...{ ...tinyNano, name: 'small', decoderLayers, baseWidth: 12, queries: 10, denoising: 20, classes: 2 },
    ...{ encoderHidden: 64, encoderFfn: 128, decoderHidden: 64, decoderFfn: 128 },
    associationEncoder: { ...tinyNano.associationEncoder, dim: 64, headDim: 32, ffnHidden: 64 },
  });

const config = (epochs: number, steps: number, rate: number): TrainerCase['config'] => ({
  ...{ epochs, batch: 4, accumulate: 1, size: [64, 64], maxTargets: 1, seed: 7 },
  ...{ rate, decay: 1e-4, rules: [{ pattern: 'norm|bn|bias', decay: 0 }], maxNorm: 0.1 },
  schedule: { warmupSteps: 20, decay: 'cosine', totalSteps: steps, finalFactor: 0.02 },
  ...{ average: { decay: 0.98, warmups: 20 }, validateEvery: epochs, patience: 0, saveEvery: 3600, maxTime: 0 },
});

/** AP and AP50 of the last validation. */
async function learn(request: TrainerCase): Promise<{ ap: number; ap50: number }> {
  const { reason, events } = await page.call<TrainerAnswer>('trainer', request);
  expect(reason).toBe('finished');
  const [stats] = events.flatMap((event) => (event.type === 'validation' ? [event.evaluation.stats] : []));
  return { ap: stats[0], ap50: stats[1] };
}

it('a small model that knows nothing learns four pictures by heart', async () => {
  const pictures = await scenePictures({ ...easy, train: 4, validation: 0 });
  expect((await learn({ model: model(2), pictures, config: config(200, 500, 1e-3) })).ap).toBeGreaterThanOrEqual(0.9);
}, 900_000);

it('and finds things in scenes that it has not seen', async () => {
  const pictures = await scenePictures({ ...easy, train: 400, validation: 50 });
  expect((await learn({ model: model(1), pictures, config: config(2, 200, 1.5e-3) })).ap50).toBeGreaterThanOrEqual(0.5);
}, 900_000);
