/** Golden configurations build the models they mean: every entry, by the hash of all weights in the order of their names. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openSafetensors } from '../../src/checkpoints/safetensors.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { formulaTensor, isComputed } from '../../src/verification/formula.ts';
import { type ModelFile, readGolden } from '../../src/verification/golden.ts';
import { smallModelConfig } from '../../src/verification/model-config.ts';
import { modelOf } from '../../src/verification/models.ts';

const fixture = (name: string) => readFileSync(new URL(`../fixtures/golden/${name}`, import.meta.url));
const vectors: { keys: string; seed: string; floats: number; sha256_of_all_floats_in_name_order: string }[] = JSON.parse(
  fixture('formula-vectors.json').toString(),
).models;

async function golden(name: string): Promise<ModelFile> {
  return readGolden(await openSafetensors(new Blob([fixture(name)]), { fileName: name })) as ModelFile;
}

describe('all weights of a model', () => {
  test.each(vectors.map((v) => [v.keys, v] as const))('%s', async (name, { seed, floats, sha256_of_all_floats_in_name_order: wanted }) => {
    const { parameters } = buildModel(modelOf(await golden(`eval-${name}.safetensors`)));
    const hash = createHash('sha256');
    let count = 0;
    const compare = (a: string, b: string) => (a < b ? -1 : 1);
    for (const [entry, { shape, dtype }] of [...parameters].sort(([a], [b]) => compare(a, b))) {
      if (dtype !== 'float32' || isComputed(entry)) continue;
      const values = formulaTensor(entry, shape, seed);
      hash.update(new Uint8Array(values.buffer));
      count += values.length;
    }
    expect(count).toBe(floats);
    expect(hash.digest('hex')).toBe(wanted);
  });
});

describe('configurations', () => {
  test('switches of the Association Encoder arrive', async () => {
    const { associationEncoder, points, anchorEps, size } = modelOf(await golden('eval-odd-ae-v2.safetensors'));
    expect(associationEncoder).toMatchObject({
      dim: 36,
      reduced: 9,
      heads: 3,
      headDim: 10,
      window: 3,
      shift: 1,
      wiring: 'double',
      gate: 'scalar',
    });
    expect({ points, anchorEps, size }).toEqual({ points: [2, 4, 3], anchorEps: 0.03, size: [96, 160] });
  });

  test('a published model takes its size and classes from the file', async () => {
    const file = await golden('full-association_detr_r34-formula.safetensors');
    expect(modelOf({ ...file, inputShape: [1, 3, 320, 480], classes: 7 })).toMatchObject({
      name: 'association-detr-r34',
      size: [320, 480],
      classes: 7,
    });
  });

  test('a key that is not known is refused, since another model would come of it', () => {
    expect(() => smallModelConfig('tiny', { v: 1, depth: 18, wings: 2 })).toThrow(expect.objectContaining({ code: 'E_VERIFY' }));
    expect(() => smallModelConfig('tiny', { v: 1, depth: 19 })).toThrow(expect.objectContaining({ code: 'E_MODEL_CONFIG' }));
  });
});
