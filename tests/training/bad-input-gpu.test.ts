/** What a training step makes of data and settings that cannot be right, and of images without objects. */
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../../src/models/configs.ts';
import type { TrainingState } from '../../src/training/state.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';
import type { StepAnswer, StepCase } from './step.page.ts';

const run = (given: StepCase) => page.call<StepAnswer>('training step', given);
const box = [0.4, 0.5, 0.3, 0.2];
const targets = [{ boxes: box, labels: [2] }];

function given(model: ModelConfig, changes: Partial<StepCase> = {}): StepCase {
  return { model, training: { maxTargets: 2 }, seed: 'bad', images: ['bad/0'], targets, steps: 1, ...changes };
}

const tiny: ModelConfig = { ...smallModels['tiny-v1'], size: [64, 64] };
const odd: ModelConfig = { ...smallModels['odd-v2'], size: [96, 64] };

const bytes = (state: TrainingState): Buffer[] =>
  [state.parameters, state.firstMoments, state.secondMoments, state.average!].flatMap((arrays) =>
    Object.values(arrays).map((v) => Buffer.from(v.buffer, v.byteOffset, v.byteLength)),
  );

describe('a batch that cannot be', () => {
  const image = new Float32Array(64 * 64 * 3).fill(0.5);
  const with1 = (changes: { boxes?: ArrayLike<number>; labels?: number[] }) => [{ image, targets: [{ ...targets[0], ...changes }] }];
  const cases = [
    ['a label beyond the classes', with1({ labels: [5] }), 'E_INPUT', /^Target 0 of image 0 has label 5; labels are 0 to 4/],
    ['a negative label', with1({ labels: [-1] }), 'E_INPUT', /label -1/],
    ['a box without area', with1({ boxes: [0.5, 0.5, 0, 0.1] }), 'E_INPUT', /box without area, \[0.5, 0.5, 0, 0.1\]/],
    ['a box turned inside out', with1({ boxes: [0.5, 0.5, 0.2, -0.1] }), 'E_INPUT', /box without area/],
    ['a box that is not finite', with1({ boxes: Float32Array.of(0.5, Number.NaN, 0.1, 0.1) }), 'E_INPUT', /box \[0.5, NaN/],
    [
      'more targets than there is room for',
      with1({ boxes: [...box, ...box, ...box], labels: [0, 1, 2] }),
      'E_INPUT',
      /3 targets; this training step holds 2/,
    ],
    ['boxes without labels', with1({ labels: [] }), 'E_INPUT', /4 box numbers for 0 labels/],
    ['a picture with NaN', [{ image: image.with(7, Number.NaN), targets }], 'E_INPUT', /Number 7 of the images is NaN/],
    ['a picture with infinity', [{ image: image.with(0, -Infinity), targets }], 'E_INPUT', /Number 0 of the images is -Infinity/],
    ['a picture of another size', [{ image: image.slice(3), targets }], 'E_SHAPE', /image has 12285 elements/],
    [
      'targets of another number of images',
      [{ image, targets: [...targets, ...targets] }],
      'E_INPUT',
      /targets of 2 images; this training step takes 1/,
    ],
    ['two batches without accumulation', [...with1({}), ...with1({})], 'E_INPUT', /step of 2 batches/],
    ['no batch', [], 'E_INPUT', /step of 0 batches/],
  ] as const;

  it('is refused with what is wrong, and leaves nothing behind', async () => {
    const clean = await run(given(tiny));
    const { errors, reports, state } = await run(given(tiny, { refused: cases.map(([, batches]) => [...batches]) }));
    expect(errors.map(({ step, code }) => [step, code])).toEqual(cases.map(([, , code]) => [-1, code]));
    for (const [i, [name, , , message]] of cases.entries()) expect(errors[i].message, name).toMatch(message);
    expect(reports).toEqual(clean.reports);
    expect([state.steps, state.updates]).toEqual([1, 1]);
    expect(bytes(state).every((array, i) => array.equals(bytes(clean.state)[i]))).toBe(true);
  });

  it('is none where a box reaches beyond the image: it is learnt as it is', async () => {
    const beyond = [{ boxes: [1.1, 0.5, 0.6, 1.4], labels: [1] }];
    const { errors, reports, state } = await run(given(tiny, { targets: beyond }));
    expect(errors).toEqual([]);
    expect(Number.isFinite(reports[0].loss) && reports[0].terms.loss_bbox > 0).toBe(true);
    expect(state.updates).toBe(1);
  });
});

describe('no targets at all', () => {
  const none = [{ boxes: [], labels: [] }];
  const zero = (values: Float32Array) => values.every((v) => v === 0);
  const moments = ({ state: { firstMoments } }: StepAnswer, pattern: RegExp) =>
    Object.entries(firstMoments)
      .filter(([name]) => pattern.test(name))
      .map(([, values]) => values);

  it('version 1 has no denoising losses; box heads and the denoising embedding learn nothing, score heads do', async () => {
    const answer = await run(given(tiny, { targets: none }));
    const [{ terms }] = answer.reports;
    expect(Object.keys(terms).filter((name) => /_dn_/.test(name))).toEqual([]);
    expect(terms).toMatchObject({ loss_bbox: 0, loss_giou: 0, loss_bbox_aux_0: 0, loss_bbox_aux_1: 0 });
    for (const name of ['loss_vfl', 'loss_vfl_aux_0', 'loss_vfl_aux_1']) expect(terms[name]).toBeGreaterThan(0);
    expect(moments(answer, /bbox_head|denoising_class_embed/).every(zero)).toBe(true);
    expect(moments(answer, /score_head/).some(zero)).toBe(false);
  });

  it('version 2 has a group of two padded denoising queries, which are to find nothing', async () => {
    const answer = await run(given(odd, { targets: none }));
    const [{ terms }] = answer.reports;
    const names = [0, 1, 2].map((layer) => `_dn_${layer}`);
    for (const name of names) {
      expect(terms[`loss_vfl${name}`]).toBeGreaterThan(0);
      expect([terms[`loss_bbox${name}`], terms[`loss_giou${name}`]]).toEqual([0, 0]);
    }
    expect(moments(answer, /bbox_head|denoising_class_embed/).every(zero)).toBe(true);
    expect(moments(answer, /score_head/).some(zero)).toBe(false);
  });

  it('in one of two images counts the objects of the other', async () => {
    const { reports } = await run(given(tiny, { images: ['bad/0', 'bad/1'], targets: [...none, ...targets] }));
    expect(Object.keys(reports[0].terms)).toContain('loss_vfl_dn_0');
    expect(reports[0].terms.loss_bbox).toBeGreaterThan(0);
  });
});

describe('patterns of parameters', () => {
  it('that match nothing are an error before anything is compiled', async () => {
    for (const training of [{ rules: [{ pattern: '^bakbone' }] }, { freeze: ['^bakbone'] }]) {
      await expect(run(given(tiny, { training }))).rejects.toMatchObject({ code: 'E_INPUT', details: { pattern: '^bakbone' } });
    }
  });

  it('that overlap give a name to the first, and it is said', async () => {
    const rules = [
      { pattern: 'bias', decay: 0 },
      { pattern: '^backbone', rate: 1e-5 },
    ];
    const { notes, reports } = await run(given(tiny, { training: { rules } }));
    expect(notes).toEqual([
      expect.stringMatching(/Pattern \^backbone also matches backbone\.\S+bias.* which an earlier pattern has: the first one counts/),
    ]);
    expect(reports[0].rates).toEqual([1e-4, 1e-5, 1e-4]);
  });
});
