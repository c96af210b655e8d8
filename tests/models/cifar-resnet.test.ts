import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { uniform } from '../../src/verification/formula.ts';
import { page } from '../setup/gpu.ts';
import type { CifarReply, CifarRequest } from './cifar-resnet.page.ts';

interface Recorded {
  float32: number[];
  float64: number[];
}
const fixture = <T>(name: string): T => JSON.parse(readFileSync(join(root, 'tests/fixtures', name), 'utf8'));
const run = (request: CifarRequest): Promise<CifarReply> => page.call('cifar resnet', request);

/** PyTorch's [3, 32, 32] as [32, 32, 3]. */
function image(key: string): Float32Array {
  const planes = uniform(key, 3 * 32 * 32);
  return Float32Array.from(planes, (_, i) => 2 * (2 * planes[(i % 3) * 1024 + Math.floor(i / 3)] - 1));
}

const error = (ours: ArrayLike<number>, exact: readonly number[]): number =>
  Math.max(...exact.map((value, i) => Math.abs(value - ours[i])));

/** Largest error allowed: 21 layers of float32 rounding, against PyTorch's own as the measure of how it adds up. */
const limit = ({ float32, float64 }: Recorded): number => 8 * error(float32, float64) + 1e-6 * Math.max(...float64.map(Math.abs));

describe('ResNet-20 for CIFAR', () => {
  it("made from our layers gives PyTorch's logits", async () => {
    const recorded = fixture<Recorded & { seed: string; image: string; tensors: number }>('models/resnet20.json');
    const { logits, tensors } = await run({ blocks: 3, image: image(recorded.image), weights: recorded.seed });
    expect(tensors).toBe(recorded.tensors);
    expect(error(logits, recorded.float64)).toBeLessThan(limit(recorded));
  });

  // The trained files are other people's and not stored here: BACKDROP_CIFAR_RESNETS names the folder that has them.
  const folder = process.env.BACKDROP_CIFAR_RESNETS;
  it.runIf(folder).each([
    ['resnet20-12fca82f.th', 3],
    ['resnet56-4bfd9763.th', 9],
  ])("%s, trained, gives PyTorch's logits", async (name, blocks) => {
    const recorded = fixture<{ logits: Record<string, Recorded> }>('checkpoints/cifar-resnet-logits.json').logits[name];
    const weights = new Uint8Array(readFileSync(join(folder!, name)));
    const { logits } = await run({ blocks, image: image('resnet20/image'), weights });
    console.log(`${name}: error ${error(logits, recorded.float64)}, PyTorch's own ${error(recorded.float32, recorded.float64)}`);
    expect(error(logits, recorded.float64)).toBeLessThan(limit(recorded));
  });
});
