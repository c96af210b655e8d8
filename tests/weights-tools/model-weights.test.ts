import { describe, expect, it } from 'vitest';
import { type ByteReader, planSafetensors, type TensorInfo, writeSafetensors } from '../../src/checkpoints/index.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { formulaTensor } from '../../src/verification/formula.ts';
import { openModelWeights } from '../../weights-tools/model-weights.ts';
import { toHuggingFace } from '../../weights-tools/names/hugging-face.ts';
import { errorOf, modelKeys } from '../checkpoints/fixtures.ts';
import { smallModels } from '../models/small-models.ts';
import { formulaFile } from './formula-file.ts';

type Shapes = Iterable<readonly [string, readonly number[]]>;

/** A safetensors file of zeros that takes no memory. */
function zeros(shapes: Shapes, metadata: Record<string, string> = {}): ByteReader {
  const infos = [...shapes].map(([name, shape]): TensorInfo => ({ name, shape, dtype: 'f32' }));
  const { header, fileBytes } = planSafetensors(infos, new Map(Object.entries(metadata)));
  return {
    size: fileBytes,
    async read(begin, end) {
      const bytes = new Uint8Array(end - begin);
      if (begin < header.length) bytes.set(header.subarray(begin, end));
      return bytes;
    },
  };
}

const tiny = smallModels['tiny-v1'];
describe('weights for a detector', () => {
  it.each(['rtdetr_r18vd', 'rtdetrv2_r50vd', 'association_detr_r34'])('%s is recognised by its names and shapes', async (model) => {
    const { config, labels, report } = await openModelWeights(zeros(modelKeys(model)));
    expect(config.name).toBe(model.replaceAll('_', '-').replace('vd', ''));
    expect(labels).toBeUndefined();
    expect([report.missing, report.unexpected, report.misshaped]).toEqual([[], [], []]);
  });

  it('Hugging Face names too', async () => {
    const { mapping } = toHuggingFace(
      { tensors: new Map([...modelKeys('rtdetr_r18vd')].map(([name, shape]) => [name, { name, shape, dtype: 'f32' }])) } as never,
      1,
    );
    const official = modelKeys('rtdetr_r18vd');
    const shapes = [...mapping].map(([name, pieces]) => {
      const [rows, ...rest] = official.get(pieces[0]!.from)!;
      return [name, rows === undefined ? [] : [rows / (pieces[0]!.rows?.of ?? 1), ...rest]] as const;
    });
    const { config, report } = await openModelWeights(zeros(shapes));
    expect(config.name).toBe('rtdetr-r18');
    expect(report.messages[0]).toContain('Hugging Face');
  });

  it('a training checkpoint, with the values it holds and the classes it names', async () => {
    const file = await formulaFile(tiny, { change: (root) => root.set('classes', ['a', 'b', 'c', 'd', 'e']) });
    const { source, labels, report } = await openModelWeights(file, { model: tiny });
    expect(report.path).toBe('ema.module');
    expect(labels).toEqual(['a', 'b', 'c', 'd', 'e']);
    const name = 'decoder.dec_score_head.0.weight';
    expect(await source.readFloat32(name)).toEqual(formulaTensor(name, modelParameters(tiny).get(name)!.shape, 'seed'));
  });

  it('the model and the classes that the metadata names', async () => {
    const names = Array.from({ length: 80 }, (_, i) => `thing ${i}`);
    const metadata = { model: 'rtdetrv2-r18-dsp', classes: JSON.stringify(names) };
    const { config, labels } = await openModelWeights(zeros(modelKeys('rtdetrv2_r18vd'), metadata));
    expect(config).toMatchObject({ name: 'rtdetrv2-r18-dsp', sampling: 'discrete' });
    expect(labels).toEqual(names);
  });

  it('a file without what only training needs', async () => {
    const shapes = [...modelKeys('rtdetr_r18vd')].filter(([name]) => !/denoising|num_batches_tracked/.test(name));
    expect((await openModelWeights(zeros(shapes))).report.missing).toEqual([]);
  });

  it('new heads for other classes', async () => {
    const labels = ['red', 'white', 'platelet'];
    const { source, config, report } = await openModelWeights(zeros(modelKeys('rtdetr_r18vd')), { labels });
    expect(config.classes).toBe(3);
    expect(report.messages).toContain('80 → 3 classes: decoder.*.score_head re-initialised');
    expect([...(await source.readFloat32('decoder.enc_score_head.bias'))]).toEqual(Array(3).fill(Math.fround(-Math.log(99))));
    expect(source.tensors.get('decoder.enc_score_head.weight')!.shape).toEqual([3, 256]);
    expect((await source.readFloat32('decoder.denoising_class_embed.weight')).slice(-256).every((v) => v === 0)).toBe(true);
  });

  it('a new Association Encoder, whose gate is closed', async () => {
    const { source, config, report } = await openModelWeights(zeros(modelKeys('rtdetr_r34vd')), { model: 'association-detr-r34' });
    expect(config.associationEncoder?.gate).toBe('scalar');
    expect(report.messages.join()).toContain('gate zero');
    expect([...(await source.readFloat32('association_encoder.gate'))]).toEqual([0]);
    for (const name of report.added) expect((await source.readFloat32(name)).every(Number.isFinite), name).toBe(true);
    // Kaiming normal, fan-out: 256 maps of 3x3.
    const weights = await source.readFloat32('association_encoder.bam.blocks.0.conv2.weight');
    const deviation = Math.sqrt(weights.reduce((sum, v) => sum + v * v, 0) / weights.length);
    expect(deviation / Math.sqrt(2 / (9 * 256))).toBeCloseTo(1, 2);
    expect(await source.readFloat32('association_encoder.am.attn.qkv.weight')).toEqual(
      await source.readFloat32('association_encoder.am.attn.qkv.weight'),
    );
  });

  it.each([
    [
      'a backbone alone',
      'E_CKPT_ARCH',
      () =>
        zeros(
          [...modelKeys('rtdetr_r18vd')]
            .filter(([name]) => name.startsWith('backbone.res_layers'))
            .map(([name, shape]) => [name.slice(9), shape] as const),
        ),
      {},
    ],
    ['DETR', 'E_CKPT_ARCH', () => zeros(modelKeys('detr-r50')), {}],
    ['another depth', 'E_CKPT_', () => zeros(modelKeys('rtdetr_r18vd')), { model: 'rtdetr-r50' }],
    ['an unknown model', 'E_MODEL_UNKNOWN', () => zeros(modelKeys('rtdetr_r18vd')), { model: 'rtdetr-r19' }],
    [
      'a Git LFS pointer',
      'E_CKPT_NOT_CHECKPOINT',
      () => new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
      {},
    ],
    [
      'one tensor of nobody',
      'E_CKPT_ARCH',
      () => Buffer.concat([...writeSafetensors([{ name: 'x', dtype: 'f32', shape: [1], data: new Float32Array(1) }])]),
      {},
    ],
  ] as const)('refuses %s', async (_, code, file, options) => {
    const error = await errorOf(openModelWeights(file(), { ...options, fileName: 'w' }));
    expect(error.code).toContain(code);
    expect(error.hint).not.toContain('--partial');
  });
});
