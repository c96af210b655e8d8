import { describe, expect, it } from 'vitest';
import { bytesOf, openSafetensors } from '../../src/checkpoints/index.ts';
import { type ConvertOptions, classNamesOf, convertCheckpoint } from '../../weights-tools/convert.ts';
import { formatInspection, inspectCheckpoint } from '../../weights-tools/inspect.ts';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { selectStateDict } from '../../weights-tools/select.ts';
import { collect, errorOf, fixture, modelKeys, sha256, sourceOf } from '../checkpoints/fixtures.ts';

const tiny = () => sourceOf(modelKeys('tiny-v1'));
const convert = async (options: ConvertOptions, source = tiny()) =>
  openCheckpoint(await collect(convertCheckpoint(source, options).chunks));
const names = Array.from({ length: 5 }, (_, i) => `class ${i}`);

describe('converting', () => {
  it.each(['safetensors', 'pth'] as const)('to %s and back: bit by bit', async (format) => {
    const source = tiny();
    const there = await convert({ format });
    const back = await convert({ format: format === 'pth' ? 'safetensors' : 'pth', layout: 'bare' }, there);
    expect([...back.tensors.keys()].sort()).toEqual([...source.tensors.keys()].sort());
    for (const name of source.tensors.keys()) {
      expect(back.tensors.get(name)).toEqual(source.tensors.get(name));
      expect(sha256(await back.readBytes(name)), name).toBe(sha256(await source.readBytes(name)));
    }
  });
  it('a .pth is what the official scripts resume and tune from', async () => {
    const written = await convert({ format: 'pth' });
    expect(selectStateDict(written).path).toBe('ema.module');
    expect(written.tensors.size).toBe(2 * modelKeys('tiny-v1').size);
    expect(written.metadata.get('last_epoch')).toBe('-1');
  });
  it('keeps what a file of Backdrop says of its model, under its own names only', async () => {
    const metadata = new Map([
      ['model', 'rtdetr-r18'],
      ['config', '{"size":[192,192]}'],
      ['other', 'gone'],
    ]);
    const source = { ...tiny(), metadata };
    const kept = await convert({ format: 'safetensors', dtype: 'f16' }, source);
    expect([kept.metadata.get('config'), kept.metadata.get('other')]).toEqual(['{"size":[192,192]}', undefined]);
    expect((await convert({ format: 'safetensors', names: 'hugging-face' }, source)).metadata.get('config')).toBeUndefined();
  });
  it('picks the averaged weights out of a training checkpoint', async () => {
    const source = await openCheckpoint(fixture('golden/training-state.pth'));
    const written = await convert({ format: 'safetensors' }, source);
    expect(written.tensors.size).toBe(9);
    expect(sha256(await written.readBytes('0.weight'))).toBe(sha256(await source.readBytes('ema.module.0.weight')));
  });
  it.each(['f16', 'bf16'] as const)('our %s file loads again within its precision, integers untouched', async (dtype) => {
    const source = tiny();
    const written = await convert({ format: 'safetensors', dtype });
    for (const info of source.tensors.values()) {
      expect(written.tensors.get(info.name)!.dtype).toBe(info.dtype === 'i64' ? 'i64' : dtype);
      const [got, want] = [await written.readFloat32(info.name), await source.readFloat32(info.name)];
      // Half a unit in the last place: 11 significant bits in float16, 8 in bfloat16.
      const relative = dtype === 'f16' ? 2 ** -11 : 2 ** -8;
      for (let i = 0; i < want.length; i++)
        if (Math.abs(got[i]! - want[i]!) > relative * Math.abs(want[i]!)) expect.fail(`${info.name}[${i}]`);
    }
  });
  it('other names: v2, and Hugging Face', async () => {
    expect((await convert({ format: 'safetensors', names: 'v2' })).tensors.has('decoder.enc_output.proj.weight')).toBe(true);
    expect(convertCheckpoint(tiny(), { format: 'pth', names: 'v2' }).messages.at(-1)).toContain('strict=False');
    expect(convertCheckpoint(sourceOf(modelKeys('rtdetrv2_r18vd')), { format: 'pth' }).messages).toHaveLength(1);
    const hugging = await convert({ format: 'safetensors', names: 'hugging-face' });
    expect(hugging.tensors.has('model.encoder.encoder.0.layers.0.self_attn.q_proj.weight')).toBe(true);
    const back = await convert({ format: 'safetensors' }, hugging);
    const counted = [...modelKeys('tiny-v1').keys()].filter((name) => !name.endsWith('num_batches_tracked'));
    expect([...back.tensors.keys()].sort()).toEqual(counted.sort());
    expect((await errorOf(() => convertCheckpoint(sourceOf(modelKeys('detr-tiny')), { format: 'pth', names: 'hugging-face' }))).code).toBe(
      'E_CKPT_ARCH',
    );
  });
  it.each(['safetensors', 'pth'] as const)('class names travel in %s, and on', async (format) => {
    const written = await convert({ format, classes: names });
    expect(classNamesOf(written)).toEqual(names);
    expect(classNamesOf(await convert({ format: format === 'pth' ? 'safetensors' : 'pth' }, written))).toEqual(names);
    expect(classNamesOf(await convert({ format }))).toBeUndefined();
  });
  it('the number of class names must be that of the heads', async () => {
    const error = await errorOf(() => convertCheckpoint(tiny(), { format: 'pth', classes: ['one'] }));
    expect(error.message).toBe("1 class names were given; the checkpoint's heads have 5 classes");
  });
  it('with a model: exactly its tensors, or an error', async () => {
    const { tensors, report } = convertCheckpoint(tiny(), { format: 'pth', expected: modelKeys('tiny-v1') });
    expect(tensors).toHaveLength(modelKeys('tiny-v1').size);
    expect(report!.missing).toEqual([]);
    expect(
      (await errorOf(() => convertCheckpoint(tiny(), { format: 'pth', expected: modelKeys('small-v1'), fileName: 't.pth' }))).code,
    ).toBe('E_CKPT_SHAPE');
    expect((await errorOf(() => convertCheckpoint(sourceOf([]), { format: 'pth' }))).code).toBe('E_CKPT_ARCH');
  });
  it('NaN, infinities and overflow to float16 are named', async () => {
    const values = new Map([
      ['fine', [1, 65504]],
      ['nan', [1, Number.NaN]],
      ['inf', [Number.NEGATIVE_INFINITY, 0]],
      ['large', [70_000, 1]],
    ]);
    const source = sourceOf(
      [...values.keys()].map((name) => [name, [2]]),
      'f32',
      (name) => bytesOf(Float32Array.from(values.get(name)!)),
    );
    for (const [dtype, expected] of [
      ['f32', ['inf', 'nan']],
      ['f16', ['inf', 'large', 'nan']],
    ] as const) {
      // biome-ignore format: short
      const conversion = convertCheckpoint(source, { format: 'safetensors', dtype });
      expect(conversion.nonFinite).toEqual([]);
      await collect(conversion.chunks);
      expect([...conversion.nonFinite].sort()).toEqual(expected);
    }
  });
  it('what has no name in the target is said', () => {
    const keys = new Map(
      [...modelKeys('tiny-v1')].map(([name, shape]) => [name.startsWith('backbone.') ? name.slice(9) : '', shape] as const),
    );
    keys.delete('');
    keys.set('fc.weight', [10, 64]);
    expect(convertCheckpoint(sourceOf(keys), { format: 'pth' }).messages.join()).toContain('left out, no name for them: fc.weight');
  });
});

describe('inspecting', () => {
  it('lists tensors with their numbers, and says what the file is', async () => {
    const inspection = await inspectCheckpoint(tiny(), { expected: () => modelKeys('tiny-v1') });
    expect(inspection.tensors).toHaveLength(modelKeys('tiny-v1').size);
    expect(inspection.architecture).toMatchObject({ family: 'rt-detr', version: 1, classes: 5, hidden: 32 });
    const text = formatInspection(inspection);
    expect(text).toMatch(/^tensor +dtype +shape +min +mean +max\n/);
    expect(text).toMatch(/backbone\.conv1\.conv1_1\.conv\.weight +f32 +\[4, 3, 3, 3\]/);
    expect(text).toContain('architecture: RT-DETR v1, ResNet-18, 5 classes, 32 channels');
    expect(text).toContain(`${inspection.tensors.length} tensors loaded`);
  });
  it('statistics are those of the finite values, and the rest is counted', async () => {
    const { tensors, nonFinite } = await inspectCheckpoint(await openCheckpoint(fixture('torch213/dtypes.pth')));
    expect(nonFinite).toEqual(['special']);
    const special = tensors.find(({ name }) => name === 'special')!;
    expect(special.statistics!.nonFinite).toBe(3);
    expect(special.statistics!.max).toBeCloseTo(1e-42, 44);
    expect(tensors.find(({ name }) => name === 'u8')!.statistics).toEqual({ min: 1, max: 254, mean: 127.5, nonFinite: 0 });
  });
  it('lists types it cannot convert', async () => {
    const inspection = await inspectCheckpoint(await openSafetensors(fixture('library.safetensors')));
    expect(inspection.tensors.find(({ dtype }) => dtype === 'c64')!.statistics).toBeUndefined();
    expect(inspection.architecture.family).toBe('unknown');
    expect(formatInspection(inspection)).toContain('no model we know');
  });
  it('without values nothing is read', async () => {
    const source = { ...tiny(), readFloat32: () => Promise.reject(new Error('read')) };
    expect((await inspectCheckpoint(source, { values: false })).tensors[0]!.statistics).toBeUndefined();
  });
});
