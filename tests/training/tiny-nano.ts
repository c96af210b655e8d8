/** The embedded model with every part made small, for training that tests can wait for. */
import type { ModelChanges } from '../../src/models/resolve.ts';

export const tinyNano = {
  name: 'tiny',
  ...{ baseWidth: 8, encoderHidden: 32, encoderFfn: 64, decoderHidden: 32, decoderFfn: 64, decoderLayers: 2 },
  ...{ queries: 20, heads: 2, denoising: 10, classes: 3, size: [64, 64] },
  associationEncoder: { dim: 32, reduced: 4, heads: 2, headDim: 16, window: 2, ffnHidden: 32 },
} satisfies ModelChanges;
