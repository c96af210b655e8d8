import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { openSafetensors } from '../../src/checkpoints/safetensors.ts';
import { modelConfig } from '../../src/models/resolve.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import type { TrainerConfig } from '../../src/training/trainer.ts';
import { page } from '../setup/gpu.ts';
import { scenePictures } from './scene-pictures.ts';
import { tinyNano } from './tiny-nano.ts';
import type { Pictures, TrainerAnswer, TrainerCase } from './trainer.page.ts';

const model = modelConfig('association-detr-nano', tinyNano);
const kinds = ['car', 'bird', 'sheep'];
const config: TrainerConfig = {
  ...{ epochs: 2, batch: 2, accumulate: 1, size: [64, 64], maxTargets: 4, seed: 7 },
  ...{ rate: 1e-3, decay: 1e-4, maxNorm: 0.1, average: { decay: 0.99, warmups: 20 } },
  ...{ validateEvery: 1, patience: 0, saveEvery: 3600, maxTime: 0 },
};

let pictures: Pictures;
beforeAll(async () => {
  pictures = await scenePictures({ seed: 3, train: 8, validation: 3, side: 64, objects: 2, kinds });
});

const run = (changes: Partial<TrainerCase> = {}) =>
  page.call<TrainerAnswer>('trainer', { model, pictures, config, ...changes } satisfies TrainerCase);
const hash = (bytes: Uint8Array | undefined) => createHash('sha256').update(bytes!).digest('hex');
const of = <T extends TrainerAnswer['events'][number]['type']>(answers: TrainerAnswer[], type: T) =>
  answers.flatMap(({ events }) => events.filter((e): e is Extract<typeof e, { type: T }> => e.type === type));
const losses = (...answers: TrainerAnswer[]) =>
  of(answers, 'step').map(({ step, epoch, loss, norm, rates }) => ({ step, epoch, loss, norm, rates }));
const stats = (...answers: TrainerAnswer[]) =>
  of(answers, 'validation').map(({ epoch, evaluation }) => ({ epoch, stats: evaluation.stats }));

/** Two epochs without a break. */
let straight: TrainerAnswer;
beforeAll(async () => {
  straight = await run();
  expect(straight.reason).toBe('finished');
}, 600_000);

describe('a run that goes on', () => {
  const same = (...parts: TrainerAnswer[]) => {
    const last = parts[parts.length - 1];
    expect(hash(last.files['last.safetensors'])).toBe(hash(straight.files['last.safetensors']));
    expect(hash(last.files['best.safetensors'])).toBe(hash(straight.files['best.safetensors']));
    expect(losses(...parts)).toEqual(losses(straight));
    expect(stats(...parts)).toEqual(stats(straight));
    expect(of(parts, 'epoch').map(({ loss, steps }) => [loss, steps])).toEqual(
      of([straight], 'epoch').map(({ loss, steps }) => [loss, steps]),
    );
  };

  it('ends where one without a break ends, bit for bit: 1 epoch and 1 more', async () => {
    const first = await run({ config: { ...config, epochs: 1 } });
    expect(hash(first.files['last.safetensors'])).not.toBe(hash(straight.files['last.safetensors']));
    same(first, await run({ from: first.files }));
  });

  it('also when it was stopped within an epoch, twice', async () => {
    const first = await run({ stopAt: 1 });
    expect(first.reason).toBe('stopped');
    const second = await run({ from: first.files, stopAt: 5 });
    expect(second.reason).toBe('stopped');
    same(first, second, await run({ from: second.files }));
  });

  it('and a finished one has nothing left to do but the weights, should they be missing', async () => {
    const { 'last.safetensors': weights, ...files } = straight.files;
    const again = await run({ from: files });
    expect(again.reason).toBe('finished');
    expect(losses(again)).toEqual([]);
    expect(hash(again.files['last.safetensors'])).toBe(hash(weights));
  });

  it('sums over accumulated batches alike', async () => {
    const accumulated = { ...config, batch: 1, accumulate: 3, validateEvery: 2 };
    const whole = await run({ config: accumulated });
    // 8 pictures: steps of 3, 3 and 2 batches.
    expect(of([whole], 'step').map(({ batch, images }) => [batch, images])).toEqual([
      [3, 3],
      [6, 3],
      [8, 2],
      [3, 3],
      [6, 3],
      [8, 2],
    ]);
    expect(of([whole], 'validation').map(({ epoch }) => epoch)).toEqual([1]);
    const first = await run({ config: accumulated, stopAt: 0 });
    const rest = await run({ config: accumulated, from: first.files });
    expect(losses(first, rest)).toEqual(losses(whole));
    expect(hash(rest.files['last.safetensors'])).toBe(hash(whole.files['last.safetensors']));
  });

  it('stores every entry of the state dictionary, in PyTorch names, and leaves nothing on the device', async () => {
    const { tensors, metadata, readFloat32 } = await openSafetensors(new Blob([straight.files['last.safetensors']]));
    const table = modelParameters(model);
    expect([...tensors.keys()].sort()).toEqual([...table.keys()].sort());
    for (const [name, { shape, dtype }] of table) {
      expect(tensors.get(name)!.shape).toEqual(shape);
      expect(tensors.get(name)!.dtype).toBe({ float32: 'f32', int64: 'i64', bool: 'bool' }[dtype]);
    }
    expect(JSON.parse(metadata.get('classes')!)).toEqual(kinds);
    expect(JSON.parse(metadata.get('config')!)).toEqual(JSON.parse(JSON.stringify(model)));
    // As PyTorch counts them: one a step.
    expect(await readFloat32('backbone.conv1.conv1_1.norm.num_batches_tracked')).toEqual(Float32Array.of(8));
    expect(straight.buffers[1]).toBe(straight.buffers[0]);
  });

  it('refuses the state of another model', async () => {
    const wider = modelConfig(model, { decoderFfn: 96 });
    const { error } = await run({ model: wider, from: straight.files });
    expect(error).toMatchObject({ code: 'E_RUN_MISMATCH', details: { key: 'decoderFfn', found: 96, expected: 64 } });
  });
});

describe('accidents', () => {
  it('a number that is not finite stops it before it is learnt, and names the step', async () => {
    const { error, written } = await run({ spoilAt: 6 });
    expect(error!.code).toMatch(/E_INPUT|E_TRAIN_NAN/);
    expect(written.filter((name) => name === 'last.train.safetensors')).toHaveLength(1);
  });

  it('a full disk ends it with the error of the store', async () => {
    const { error } = await run({ failAt: 1 });
    expect(error).toMatchObject({ code: 'E_FILE_WRITE', message: expect.stringContaining('the disk is full') });
  });
});

describe('validations', () => {
  // Nothing changes at rate 0 but the statistics, whose average hardly moves at this decay.
  const still: TrainerConfig = { ...config, rate: 0, decay: 0, epochs: 9, average: { decay: 0.9999999, warmups: 1e-9 } };

  it('end training when nothing better comes; of equal ones the first is the best', async () => {
    const answer = await run({ config: { ...still, patience: 2 } });
    expect(answer.reason).toBe('patience');
    expect(of([answer], 'validation').map(({ best }) => best)).toEqual([true, false, false]);
    expect(of([answer], 'validation').at(-1)!.progress.best!.epoch).toBe(0);
    expect(answer.written.filter((name) => name === 'best.safetensors')).toHaveLength(1);
  });

  it('come every N epochs and after the last', async () => {
    const answer = await run({ config: { ...still, epochs: 5, validateEvery: 2 } });
    expect(of([answer], 'validation').map(({ epoch }) => epoch)).toEqual([1, 3, 4]);
  });

  it('can be missing', async () => {
    const answer = await run({ pictures: { ...pictures, validation: [] } });
    expect(answer.reason).toBe('finished');
    expect(Object.keys(answer.files).sort()).toEqual(['last.safetensors', 'last.train.safetensors']);
  });
});

describe('a device that is lost', () => {
  // Everything is compiled anew on the next one.
  it('ends the run with its own error, and what was saved stands', async () => {
    const lost = await run({ destroyAt: 5 });
    expect(lost.error).toMatchObject({ code: 'E_GPU_LOST' });
    expect(lost.written).toContain('last.train.safetensors');
    // From the end of the first epoch it goes on as if nothing had been.
    const rest = await run({ from: lost.files });
    expect(of([rest], 'ready')[0]).toMatchObject({ steps: 4, epoch: 1, batch: 0 });
    expect(hash(rest.files['last.safetensors'])).toBe(hash(straight.files['last.safetensors']));
  }, 600_000);
});
