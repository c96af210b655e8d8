import { describe, expect, it } from 'vitest';
import {
  attentionGroups,
  blockedScore,
  type DenoisingDraws,
  type DenoisingOptions,
  denoisingCapacity,
  denoisingLayout,
  denoisingQueries,
  seededDraws,
} from '../../src/training/denoising.ts';
import { checkTargets, type Targets } from '../../src/training/targets.ts';
import { errorOf } from '../checkpoints/fixtures.ts';
import { evaluate } from '../setup/oracle.ts';
import { type Fixture, fixture, targetsOf } from './fixtures.ts';

function optionsOf({ info }: Fixture, maxTargets: number): DenoisingOptions {
  return { version: info.config.v, classes: info.config.classes, denoising: info.config.dn, maxTargets };
}

function recorded(golden: Fixture): DenoisingDraws {
  const count = golden.shape('noise.label_u')[1];
  const read = (name: string) => {
    const values = golden.values(`noise.${name}`);
    return (image: number, query: number, side?: number) =>
      values[side === undefined ? image * count + query : (image * count + query) * 4 + side];
  };
  const [labelUniform, newLabel, boxSign, boxUniform] = ['label_u', 'new_label', 'box_sign', 'box_u'].map(read);
  return { labelUniform, newLabel: (image, query) => newLabel(image, query), boxSign, boxUniform };
}

/** The first `count` of each image's `capacity` rows. */
function cut(values: ArrayLike<number>, images: number, count: number, columns: number): number[] {
  const capacity = values.length / images / columns;
  return Array.from({ length: images * count * columns }, (_, i) => {
    const image = Math.floor(i / count / columns);
    return values[image * capacity * columns + (i % (count * columns))];
  });
}

describe.each(['train-tiny-v1-frozen-A', 'train-odd-v2-frozen-B', 'train-odd-v2-bntrain-C'])('%s', async (name) => {
  const golden = await fixture(name);
  const batch = targetsOf(golden, 'target.%.');
  const options = optionsOf(golden, 9);
  const made = denoisingQueries(batch, options, recorded(golden));
  const [count, queries] = golden.info.dn_num_split;

  it('has the groups and boxes of PyTorch', () => {
    expect(made.layout).toMatchObject({ groups: golden.info.dn_num_group, count });
    const boxes = cut(made.boxes, 2, count, 4);
    const expected = golden.values('dn.bbox_unact');
    // Only the logarithm may round differently: a unit of the largest value, 11.5.
    for (let i = 0; i < boxes.length; i++) expect(Math.abs(boxes[i] - expected[i])).toBeLessThanOrEqual(2 ** -20);
  });

  it('lets the same queries see each other', () => {
    const groups = attentionGroups(options, made.layout, queries);
    const capacity = denoisingCapacity(options);
    const place = (i: number) => (i < count ? i : capacity + i - count);
    const mask = golden.values('dn.attn_mask');
    const all = count + queries;
    for (let i = 0; i < all; i++) {
      for (let j = 0; j < all; j++) {
        const score = evaluate(blockedScore, [groups[place(i)], groups[place(j)]]).value;
        expect(score === 0, `${i} sees ${j}`).toBe(mask[i * all + j] === 0);
      }
      for (let j = count; j < capacity; j++) expect(evaluate(blockedScore, [groups[place(i)], groups[j]]).value).not.toBe(0);
    }
  });

  it('replaces the labels that the draws say', () => {
    const uniform = golden.values('noise.label_u');
    const fresh = golden.values('noise.new_label');
    const classes = cut(made.classes, 2, count, 1);
    classes.forEach((found, i) => {
      const { labels } = batch[Math.floor(i / count)];
      const target = (i % count) % made.layout.targets;
      const expected = target >= labels.length ? options.classes : uniform[i] < 0.25 ? fresh[i] : labels[target];
      expect(found).toBe(expected);
    });
  });
});

describe('layout', () => {
  const v1 = { version: 1, classes: 80, denoising: 100, maxTargets: 130 } as const;
  it.each([
    [v1, 7, 14, 196],
    [v1, 60, 1, 120],
    [v1, 130, 1, 260],
    [v1, 0, 0, 0],
    [{ ...v1, version: 2 } as const, 0, 1, 2],
    [{ ...v1, denoising: 0 }, 5, 0, 0],
  ])('%j with %d targets', (options, targets, groups, count) => {
    const layout = denoisingLayout(options, targets);
    expect([layout.groups, layout.count]).toEqual([groups, count]);
    expect(count).toBeLessThanOrEqual(denoisingCapacity(options));
  });
});

describe('seeded draws', () => {
  const options: DenoisingOptions = { version: 1, classes: 6, denoising: 20, maxTargets: 10 };
  const image = (n: number, at: number): Targets => ({
    labels: Array.from({ length: n }, (_, i) => (i + at) % 6),
    boxes: Array.from({ length: 4 * n }, (_, i) => 0.3 + 0.01 * i + 0.001 * at),
  });
  const batch = [image(3, 0), image(0, 1), image(5, 2), image(2, 3)];

  it('give an image the same queries however a step is cut into batches', () => {
    const whole = denoisingQueries(batch, options, seededDraws(5, 8));
    const layout = denoisingLayout(options, 5);
    const size = denoisingCapacity(options);
    batch.forEach((targets, i) => {
      const alone = denoisingQueries([targets], options, seededDraws(5, 8, i), layout);
      expect(alone.boxes).toEqual(whole.boxes.slice(i * size * 4, (i + 1) * size * 4));
      expect(alone.classes).toEqual(whole.classes.slice(i * size, (i + 1) * size));
    });
    expect(denoisingQueries(batch, options, seededDraws(5, 9)).boxes).not.toEqual(whole.boxes);
    expect(denoisingQueries(batch, options, seededDraws(6, 8)).boxes).not.toEqual(whole.boxes);
  });

  it('replace about a quarter of the labels', () => {
    const draws = seededDraws(1, 1);
    let replaced = 0;
    for (let q = 0; q < 4000; q++) if (draws.labelUniform(0, q) < 0.25) replaced += 1;
    expect(Math.abs(replaced / 4000 - 0.25)).toBeLessThan(6 * Math.sqrt((0.25 * 0.75) / 4000));
  });
});

describe('targets that are refused', () => {
  const limits = { classes: 3, maxTargets: 2 };
  it.each([
    [{ boxes: [0.5, 0.5, 0.1, 0.1], labels: [3] }, 'label 3'],
    [{ boxes: [0.5, 0.5, 0.1, 0.1], labels: [-1] }, 'label -1'],
    [{ boxes: [0.5, 0.5, 0.1, 0.1], labels: [0.5] }, 'label 0.5'],
    [{ boxes: [0.5, 0.5, 0, 0.1], labels: [0] }, 'without area'],
    [{ boxes: [0.5, NaN, 0.1, 0.1], labels: [0] }, 'NaN'],
    [{ boxes: [0.5, 0.5, 0.1], labels: [0] }, '3 box numbers'],
    [{ boxes: new Array(12).fill(0.1), labels: [0, 0, 0] }, 'holds 2'],
  ])('%j', async (targets, message) => {
    const error = await errorOf(() => checkTargets([{ boxes: [], labels: [] }, targets], limits));
    expect(error.code).toBe('E_INPUT');
    expect(error.message).toContain(message);
    expect(error.details.image).toBe(1);
  });

  it('and those that are taken: beyond the image, none at all', () => {
    checkTargets(
      [
        { boxes: [1.4, 0.5, 0.5, 0.1], labels: [2] },
        { boxes: [], labels: [] },
      ],
      limits,
    );
  });
});
