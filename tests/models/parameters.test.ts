import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { modelConfig } from '../../src/models/resolve.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { smallModels } from './small-models.ts';

interface KeyList {
  entries: number;
  parameters: number;
  trainable: number;
  /** SHA-256 of the lines `name [shape] dtype kind`, in the order of PyTorch's state_dict. */
  sha256: string;
}

const fixtures = new URL('../fixtures/models/', import.meta.url);
const lists: Record<string, KeyList> = JSON.parse(readFileSync(new URL('keys.json', fixtures), 'utf8'));

const configOf = (name: string) => smallModels[name] ?? modelConfig(name);

function lines(name: string): string[] {
  return [...modelParameters(configOf(name))].map(([key, { shape, dtype, kind }]) => `${key} [${shape.join(', ')}] ${dtype} ${kind}`);
}

describe('the state dictionary of', () => {
  it.each(Object.entries(lists))("%s is PyTorch's, in names, shapes, kinds and order", (name, list) => {
    const found = lines(name);
    const table = modelParameters(configOf(name));
    expect({
      entries: found.length,
      parameters: table.parameterCount,
      trainable: table.trainableCount,
      sha256: createHash('sha256').update(found.join('\n')).digest('hex'),
    }).toEqual(list);
  });

  it('a small model reads as PyTorch prints it', () => {
    expect(lines('tiny-ae-v1').join('\n')).toBe(readFileSync(new URL('tiny-ae-v1.keys.txt', fixtures), 'utf8').trimEnd());
  });
});

describe('parameters of the Association Encoder', () => {
  const added = (changes: Parameters<typeof modelConfig>[1], base = 'rtdetr-r34') =>
    modelParameters(modelConfig(base, changes)).parameterCount - modelParameters(base).parameterCount;

  it.each([
    ['bam', 2_445_348],
    ['am', 666_696],
    ['el', 1_051_136],
    ['bam+el', 3_496_484],
    ['bam+am', 3_112_044],
  ] as const)('%s', (variant, count) => {
    expect(added({ associationEncoder: { variant } })).toBe(count);
    expect(added({ associationEncoder: { variant } }, 'rtdetr-r50')).toBe(count);
  });

  it.each([
    ['its own projection of 128 channels', 'rtdetr-r34', { bamInput: 'own' }, 3_145_324],
    ['its own projection of 512 channels', 'rtdetr-r50', { bamInput: 'own' }, 3_243_628],
    ['a shortcut with parameters', 'rtdetr-r34', { variant: 'bam', shortcut: 'conv' }, 2_511_396],
    ['narrow heads and a wide ConvFFN', 'rtdetr-r34', { variant: 'am', headDim: 32, ffnHidden: 768 }, 680_520],
    ['a gate', 'rtdetr-r34', { gate: 'scalar' }, 3_112_045],
    ['a window of 7', 'rtdetr-r34', { variant: 'am', window: 7 }, 665_160],
  ] as const)('with %s', (_, base, associationEncoder, count) => {
    expect(added({ associationEncoder }, base)).toBe(count);
  });
});
