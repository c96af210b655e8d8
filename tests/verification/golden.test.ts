/** What a golden file is, is read from its metadata; what it is not, is said. */
import { describe, expect, test } from 'vitest';
import { openSafetensors, writeSafetensors } from '../../src/checkpoints/safetensors.ts';
import type { TensorSource } from '../../src/checkpoints/tensors.ts';
import { type ModelFile, type OpsFile, readGolden, readReference } from '../../src/verification/golden.ts';

async function file(metadata: Record<string, unknown>, tensors: Record<string, number[]> = {}): Promise<TensorSource> {
  const list = Object.entries(tensors).map(([name, values]) => ({
    name,
    dtype: 'f32',
    shape: [values.length],
    data: Float32Array.from(values),
  }));
  const texts = new Map(Object.entries(metadata).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]));
  return openSafetensors(new Blob([...writeSafetensors(list, texts)]), { fileName: 'test.safetensors' });
}

const outputs = { pred_logits: [1], pred_boxes: [2] };
const eval2 = { model: 'tiny', seed: 's', overrides: [['enc', 's#1']], config: { hw: [96, 160] }, input: 's/train/B/img0..1' };

describe('kinds', () => {
  test('operations', async () => {
    const cases = [
      { name: 'a', op: 'relu', inputs: ['x'], outputs: ['out'], torch32: { 'out/out': { max_abs: 1, rel_l2: 2 }, 'grad/x': {} } },
    ];
    const golden = readGolden(await file({ cases })) as OpsFile;
    expect(golden.kind).toBe('ops');
    expect(golden.cases[0]).toMatchObject({ name: 'a', op: 'relu', attrs: {}, inputs: ['x'], outputs: ['out'] });
    expect(golden.cases[0].recorded.get('out')).toEqual({ maxAbs: 1, relL2: 2 });
  });

  test('a small model on a batch of formula images', async () => {
    const info = { ...eval2, stages: { F_3: { shape: [2, 4, 3, 5], max_abs: 1e-7, rel_l2: 2e-7 }, unsampled: { shape: [1] } } };
    const golden = readGolden(await file({ info }, { ...outputs, 'stage/F_3.val64': [1, 2] })) as ModelFile;
    expect(golden.kind).toBe('eval');
    expect(golden.images).toEqual(['s/train/B/img0', 's/train/B/img1']);
    expect(golden.inputShape).toEqual([2, 3, 96, 160]);
    expect(golden.overrides).toEqual([['enc', 's#1']]);
    expect(golden.stages).toEqual([{ name: 'F_3', shape: [2, 4, 3, 5], recorded: { maxAbs: 1e-7, relL2: 2e-7 } }]);
  });

  test('a full model on one formula image or the photograph', async () => {
    const info = { model: 'm', seed: 's', input: 'formula', image_key: 's/img', input_shape: [1, 3, 640, 640], stages: {} };
    const formula = readGolden(await file({ info }, outputs)) as ModelFile;
    expect(formula).toMatchObject({ kind: 'full', images: ['s/img'], inputShape: [1, 3, 640, 640], overrides: [] });
    expect(readGolden(await file({ info: { ...info, input: 'photo' } }, outputs))).toMatchObject({ images: 'photo' });
  });
});

test.each([
  ['train', 'losses'],
  ['steps', 'history'],
])('a %s file is known by its %s', async (kind, field) => {
  const golden = readGolden(await file({ info: { ...eval2, mode: 'bbfrozen', batch: 'B', [field]: {} } }));
  expect(golden).toMatchObject({
    kind,
    model: 'tiny',
    mode: 'bbfrozen',
    batch: 'B',
    overrides: [['enc', 's#1']],
    config: { hw: [96, 160] },
  });
});

describe('refusals name what was found', () => {
  const refusals: [string, Record<string, unknown>, Record<string, number[]>, RegExp][] = [
    ['weights', { format: 'pt' }, {}, /not a golden file/],
    ['a training file without a seed', { info: { model: 'tiny-v1', mode: 'frozen', losses: {} } }, {}, /no model or no seed/],
    ['a training file of unknown norms', { info: { ...eval2, mode: 'thawed', batch: 'A', losses: {} } }, {}, /tiny names no mode/],
    ['a training file without a batch', { info: { ...eval2, mode: 'frozen', history: [] } }, {}, /tiny names no batch/],
    ['the DETR family', { info: { model: 'detr-tiny', sizes: [], mean: [] } }, {}, /DETR family \(detr-tiny\)/],
    ['metadata that is no JSON', { info: '{' }, {}, /"info" is not JSON/],
    ['cases that are no list', { cases: {} }, {}, /"cases" is not a list/],
    ['a case without a name', { cases: [{ op: 'relu' }] }, {}, /case 0/],
    ['a model without outputs', { info: eval2 }, {}, /no pred_logits/],
    ['an unknown input', { info: { ...eval2, input: 'video' } }, outputs, /"video"/],
    ['a bad override', { info: { ...eval2, overrides: [['(', 's']] } }, outputs, /not a regular expression/],
    ['no input size', { info: { ...eval2, config: {} } }, outputs, /no input size/],
    ['a size that is no RGB batch', { info: { ...eval2, input_shape: [1, 3, 8, 8] } }, outputs, /not 2 RGB images/],
  ];
  test.each(refusals)('%s', async (_, metadata, tensors, message) => {
    const source = await file(metadata, tensors);
    expect(() => readGolden(source)).toThrow(expect.objectContaining({ code: 'E_VERIFY', message: expect.stringMatching(message) }));
  });
});

test('the float64 twin is preferred, under either name', async () => {
  const source = await file({}, { a: [1], 'a.f64': [2], 'b.val': [3], 'b.val64': [4], c: [5] });
  expect(await readReference(source, 'a')).toMatchObject({ against: 'float64', values: Float32Array.of(2) });
  expect(await readReference(source, 'b.val')).toMatchObject({ against: 'float64', values: Float32Array.of(4) });
  expect(await readReference(source, 'c')).toMatchObject({ against: 'float32', values: Float32Array.of(5) });
});
