/** Formula weights and images, bit for bit against the Python side's vectors. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BackdropError } from '../../src/errors.ts';
import {
  bytesToUnit,
  FormulaSource,
  fmix32,
  fnv1a32,
  formulaImage,
  formulaTensor,
  integers,
  isComputed,
  samplePositions,
  seedFor,
  uniform,
} from '../../src/verification/formula.ts';

interface Vectors {
  fnv1a32: Record<string, number>;
  fmix32: Record<string, number>;
  weights: { seed: string; name: string; shape: number[]; first: number[]; sha256: string }[];
  images: { key: string; h: number; w: number; u8_sha256: string; f32_sha256: string; first_u8: number[] }[];
  uniform: { key: string; first: number[] };
  randint: { key: string; hi: number; first: number[] };
  sample_idx: Record<string, number[]>;
}

const vectors: Vectors = JSON.parse(readFileSync(new URL('../fixtures/golden/formula-vectors.json', import.meta.url), 'utf8'));
const sha256 = (data: ArrayBufferView) =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');

describe('hashes and streams', () => {
  test.each(Object.entries(vectors.fnv1a32))('FNV-1a of "%s"', (text, hash) => expect(fnv1a32(text)).toBe(hash));
  test.each(Object.entries(vectors.fmix32))('fmix32 of %s', (x, hash) => expect(fmix32(Number(x))).toBe(hash));
  test('uniform numbers', () => expect([...uniform(vectors.uniform.key, 4)]).toEqual(vectors.uniform.first));
  test('integers', () => {
    const { key, hi, first } = vectors.randint;
    expect([...integers(key, first.length, hi)]).toEqual(first);
  });
  test.each(Object.entries(vectors.sample_idx))('sample positions of %s elements', (size, first) => {
    const positions = samplePositions(Number(size), 256);
    expect(positions.length).toBe(Math.min(256, Number(size)));
    expect([...positions.subarray(0, first.length)]).toEqual(first);
  });
});

describe('weights', () => {
  test.each(vectors.weights.map((w) => [w.name, w] as const))('%s', (name, { seed, shape, first, sha256: hash }) => {
    const values = formulaTensor(name, shape, seed);
    expect([...values.subarray(0, first.length)]).toEqual(first);
    expect(sha256(values)).toBe(hash);
  });

  test('an override replaces the seed of the names it matches, the first match deciding', () => {
    const overrides = [
      ['enc_score_head', 'a'],
      ['score', 'b'],
    ] as const;
    expect(seedFor('decoder.enc_score_head.bias', 's', overrides)).toBe('a');
    expect(seedFor('decoder.dec_score_head.0.bias', 's', overrides)).toBe('b');
    expect(seedFor('backbone.conv1', 's', overrides)).toBe('s');
    expect(formulaTensor('x.enc_score_head.bias', [3], 's', overrides)).toEqual(formulaTensor('x.enc_score_head.bias', [3], 'a'));
  });

  test('computed and scalar entries have no formula', () => {
    for (const name of ['decoder.anchors', 'decoder.valid_mask', 'encoder.pos_embed2', 'a.num_points_scale']) {
      expect(isComputed(name)).toBe(true);
      expect(() => formulaTensor(name, [4], 's')).toThrow(BackdropError);
    }
    expect(isComputed('decoder.anchors_head.weight')).toBe(false);
    expect(() => formulaTensor('scalar', [], 's')).toThrow(/scalar/);
    expect([...formulaTensor('bn.num_batches_tracked', [], 's')]).toEqual([0]);
  });

  test('a source answers the names of its table, tied ones with one tensor', async () => {
    const shapes = new Map([
      ['bbox_embed.1.weight', [4, 8]],
      ['bbox_embed.0.weight', [4, 8]],
    ]);
    const source = new FormulaSource(shapes, 's', { tied: [['bbox_embed.1.weight', 'bbox_embed.0.weight']] });
    expect(await source.readFloat32('bbox_embed.1.weight')).toEqual(formulaTensor('bbox_embed.0.weight', [4, 8], 's'));
    await expect(source.readFloat32('other')).rejects.toThrow(/no tensor other/);
  });
});

describe('images', () => {
  test.each(vectors.images.map((i) => [`${i.h}x${i.w}`, i] as const))('%s', (_, { key, h, w, first_u8, u8_sha256, f32_sha256 }) => {
    const bytes = formulaImage(key, h, w);
    expect([...bytes.subarray(0, 8)]).toEqual(first_u8);
    expect(sha256(bytes)).toBe(u8_sha256);
    expect(sha256(bytesToUnit(bytes))).toBe(f32_sha256);
  });
});
