/** The official configurations' parameter groups, counted, and their schedules. */
import { describe, expect, it } from 'vitest';
import { models } from '../../src/models/configs.ts';
import { type ModelChanges, modelConfig } from '../../src/models/resolve.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { parameterGroups } from '../../src/training/groups.ts';
import { recipe } from '../../src/training/recipes.ts';

function groupsOf(name: string, changes: ModelChanges = {}) {
  const config = modelConfig(name, changes);
  const names = [...modelParameters(config)].filter(([, { kind }]) => kind === 'param').map(([entry]) => entry);
  const { groups, notes } = parameterGroups(names, recipe(config).training);
  expect(notes).toEqual([]);
  expect(groups.reduce((sum, group) => sum + group.names.length, 0)).toBe(names.length);
  return groups;
}
const counts = (name: string, changes?: ModelChanges) => groupsOf(name, changes).map((g) => [g.names.length, g.rate, g.decay]);

describe('groups: tensors, rate, decay', () => {
  it.each([
    [
      'rtdetr-r18',
      [
        [46, 1e-5, 0],
        [23, 1e-5, 1e-4],
        [159, 1e-4, 0],
        [98, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetr-r34',
      [
        [78, 1e-5, 0],
        [39, 1e-5, 1e-4],
        [177, 1e-4, 0],
        [110, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetr-r50',
      [
        [52, 1e-5, 1e-4],
        [83, 1e-4, 0],
        [122, 1e-4, 0],
        [130, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetr-r50m',
      [
        [52, 1e-5, 1e-4],
        [91, 1e-4, 0],
        [122, 1e-4, 0],
        [134, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetr-r101',
      [
        [103, 1e-6, 1e-4],
        [335, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetrv2-r18',
      [
        [162, 1e-4, 0],
        [164, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetrv2-r34',
      [
        [39, 5e-5, 1e-4],
        [78, 5e-5, 0],
        [181, 1e-4, 0],
        [106, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetrv2-r50',
      [
        [52, 1e-5, 1e-4],
        [126, 1e-4, 0],
        [209, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetrv2-r50m',
      [
        [52, 1e-5, 1e-4],
        [134, 1e-4, 0],
        [213, 1e-4, 1e-4],
      ],
    ],
    [
      'rtdetrv2-r101',
      [
        [103, 1e-6, 1e-4],
        [126, 1e-4, 0],
        [209, 1e-4, 1e-4],
      ],
    ],
  ])('%s', (name, expected) => expect(counts(name)).toEqual(expected));

  it('keep what the patterns do to norms that are not called so', () => {
    const decayed = groupsOf('rtdetr-r18').at(-1)!.names;
    for (const quirk of ['encoder.input_proj.0.1.weight', 'decoder.enc_output.1.weight']) expect(decayed).toContain(quirk);
    expect(decayed).not.toContain('encoder.input_proj.0.1.bias');
  });

  const frozen = { freezeNorm: 'backbone' } as const;
  it.each([
    ['association-detr-r34', {}],
    ['association-detr-r34', frozen],
    ['association-detr-r50', {}],
    ['association-detrv2-r34', {}],
    ['association-detrv2-r34', frozen],
    ['association-detrv2-r50', {}],
    ['association-detrv2-r50', { associationEncoder: { gate: 'scalar' } }],
    ['association-detr-r34', { associationEncoder: { gate: 'scalar', bamInput: 'own', shortcut: 'conv' } }],
  ] as [string, ModelChanges][])(
    "%s with %j: the backbone at 1e-5, no decay of the encoder's biases, norms, table and gate",
    (name, changes) => {
      const groups = groupsOf(name, changes);
      const of = (test: RegExp) =>
        groups.flatMap(({ names, rate, decay }) => names.filter((n) => test.test(n)).map((n) => ({ n, rate, decay })));
      expect(new Set(of(/^backbone/).map(({ rate }) => rate))).toEqual(new Set([1e-5]));
      const added = of(/^association_encoder/);
      expect(added.length).toBeGreaterThan(20);
      for (const { n, rate, decay } of added) expect([rate, decay], n).toEqual([1e-4, /norm|bias|gate/.test(n) ? 0 : 1e-4]);
    },
  );

  it('of every published model match something, and one of our own is trained at one rate', () => {
    for (const name of models.keys()) groupsOf(name);
    expect(counts('association-detr-nano').map(([, rate, decay]) => [rate, decay])).toEqual([
      [1e-4, 0],
      [1e-4, 0],
      [1e-4, 1e-4],
    ]);
  });
});

describe('schedules', () => {
  it.each([
    ['rtdetr-r18', 72, null, true, undefined],
    ['rtdetr-r50', 72, null, true, undefined],
    ['rtdetrv2-r18', 120, 117, false, 2000],
    ['rtdetrv2-r34', 120, 117, true, 2000],
    ['rtdetrv2-r50m', 84, 81, true, 2000],
    ['rtdetrv2-r50', 72, 71, true, 2000],
    ['rtdetrv2-r34-dsp', 12, 10, true, 2000],
    ['rtdetrv2-r18-sp2', 120, 117, false, 2000],
    ['association-detr-r34', 72, null, true, 2000],
  ] as const)('%s', (name, epochs, plainFrom, scaled, warmupSteps) => {
    const found = recipe(name);
    expect([found.epochs, found.plainFrom, found.scales !== null, found.training.schedule.warmupSteps, found.batch]).toEqual([
      epochs,
      plainFrom,
      scaled,
      warmupSteps,
      16,
    ]);
    expect(found.scales?.until ?? plainFrom).toBe(plainFrom);
    expect(found.training).toMatchObject({
      ...{ rate: 1e-4, decay: 1e-4, betas: [0.9, 0.999], eps: 1e-8, maxNorm: 0.1 },
      average: { decay: 0.9999, warmups: 2000 },
      schedule: { milestones: [1000], gamma: 0.1 },
    });
  });

  it('of Association DETR begins at a thousandth', () => {
    expect(recipe('association-detr-r50').training.schedule.warmupStart).toBe(0.001);
    expect(recipe('rtdetrv2-r50').training.schedule.warmupStart).toBeUndefined();
  });
});
